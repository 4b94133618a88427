import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import { SQSClient } from '@aws-sdk/client-sqs';
import type { DynamoDBStreamEvent } from 'aws-lambda';
import { unpublishedQueueUrl } from '../lib/environment.ts';
import { environmentBus, sendToBus } from '../lib/event-bus.ts';
import { publishBatch } from '../lib/publish.ts';
import { setAsideIn } from '../lib/set-aside.ts';

const metrics = new Metrics();
const bus = environmentBus();
const setAside = setAsideIn(unpublishedQueueUrl(), new SQSClient({ maxAttempts: 3 }));

/** The table's stream: recorded events go to the bus. */
export const handler = async ({ Records }: DynamoDBStreamEvent) => {
  try {
    return await publishBatch(Records, {
      send: (entries) => sendToBus(entries, bus),
      setAside,
      now: Date.now,
      count: (name, value) => metrics.addMetric(name, MetricUnit.Count, value),
      lag: (seconds) => metrics.addMetric('publish_lag_seconds', MetricUnit.Seconds, seconds),
      log: (line) => console.log(JSON.stringify(line)),
    });
  } finally {
    metrics.publishStoredMetrics();
  }
};
