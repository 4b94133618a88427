import type { APIGatewayRequestAuthorizerEvent } from 'aws-lambda';
import { authorize } from '../lib/authorizer.ts';
import { withMetric } from '../lib/authorizer-metrics.ts';
import { createDynamoDbCall } from '../lib/dynamodb-http.ts';
import {
  eventRetentionDays,
  keyPrefix,
  logSampleRate,
  metricsSettings,
  tableName,
} from '../lib/environment.ts';
import { createKeyReader } from '../lib/key-reader.ts';
import { createRouteReader } from '../lib/route-reader.ts';

const call = createDynamoDbCall();
const table = tableName();
const sampleRate = logSampleRate();
const metrics = metricsSettings();

const dependencies = {
  reader: createKeyReader({ table, call, eventRetentionDays: eventRetentionDays() }),
  readRoutes: createRouteReader({ table, call }),
  now: Date.now,
  prefix: keyPrefix(),
  sampled: () => Math.random() < sampleRate,
  log: (line: Record<string, unknown>) => console.log(JSON.stringify(withMetric(line, metrics, Date.now()))),
};

export const handler = (event: APIGatewayRequestAuthorizerEvent) => authorize(event, dependencies);
