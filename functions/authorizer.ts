import { authorize } from '../lib/authorizer.ts';
import { createDynamoDbCall } from '../lib/dynamodb-http.ts';
import {
  eventRetentionDays,
  keyPrefix,
  logSampleRate,
  misuseSettings,
  retentionDays,
  serviceName,
  tableName,
} from '../lib/environment.ts';
import { createKeyReader } from '../lib/key-reader.ts';
import { createRouteReader } from '../lib/route-reader.ts';
import type { AuthorizerEvent } from '../lib/route-request.ts';

const call = createDynamoDbCall();
const table = tableName();
const sampleRate = logSampleRate();

const dependencies = {
  reader: createKeyReader({
    table,
    call,
    eventRetentionDays: eventRetentionDays(),
    retentionDays: retentionDays(),
  }),
  readRoutes: createRouteReader({ table, call }),
  now: Date.now,
  prefix: keyPrefix(),
  misuseSettings: misuseSettings(),
  service: serviceName(),
  sampled: () => Math.random() < sampleRate,
  log: (line: Record<string, unknown>) => console.log(JSON.stringify(line)),
};

export const handler = (event: AuthorizerEvent) => authorize(event, dependencies);
