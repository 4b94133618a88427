import { Duration } from 'aws-cdk-lib';
import { TreatMissingData } from 'aws-cdk-lib/aws-cloudwatch';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import { Rule, Schedule } from 'aws-cdk-lib/aws-events';
import { LambdaFunction } from 'aws-cdk-lib/aws-events-targets';
import { Construct } from 'constructs';
import { CANARY_SCOPE } from '../lib/canary.ts';
import { CANARY_STAGES, type CanaryStage } from '../lib/canary-sample.ts';
import { flushAccess } from './flush.ts';
import type { Monitoring } from './monitoring.ts';
import { ProtectedRestApi } from './protected-rest-api.ts';
import type { RekeyReference } from './rekey-reference.ts';
import type { MakeFunction } from './rekey-stack.ts';
import { eventRecording, itemAccess } from './table-access.ts';
import type { FunctionDefaults } from './typescript-function.ts';

/** lib/status.ts knows it too. */
const INTERVAL = Duration.minutes(5);
/** It gives up after a minute, and a request may take 5 s. */
const TIMEOUT = Duration.seconds(120);
/** Longer than a run: what is refused is refused by the flush. */
const CACHE_TTL = Duration.minutes(5);
const ROUTE = '/canary';

/** Seconds after which a revocation is late. */
const LATE: Record<CanaryStage, number> = { cached: 30, uncached: 5 };

export interface CanaryProps {
  table: Table;
  lambda: MakeFunction;
  rekey: RekeyReference;
  monitoring: Monitoring;
  logs: FunctionDefaults;
  /** Of REVOCATION in rekey-stack.ts: what a revocation names of a key. */
  revocation: string[];
}

/**
 * Revokes a key of its own every five minutes and measures from outside how long it is still let in: at an API whose
 * stage keeps answers of the authorizer, and at one whose stage keeps none.
 */
export class Canary extends Construct {
  constructor(scope: Construct, id: string, props: CanaryProps) {
    super(scope, id);
    const { table, lambda, rekey, monitoring, logs, revocation } = props;
    const handler = lambda('answer-canary', 'Answers the canary’s requests that are let in', {
      settings: [],
      access: [],
    });
    const apiOf = (id: string, cacheTtl?: Duration) => {
      const api = new ProtectedRestApi(this, id, {
        rekey,
        description: 'Asked by the canary alone, to see how fast a revocation takes effect',
        throttle: { requestsPerSecond: 50, burst: 50 },
        ...logs,
        ...(cacheTtl && { cacheTtl }),
      });
      api.addRoute(`GET ${ROUTE}`, { scopes: [CANARY_SCOPE], handler });
      return `${api.url}${ROUTE}`;
    };
    const run = lambda(
      'run-canary',
      'Measures how long a revoked key is still let in',
      {
        settings: ['prefix'],
        access: [
          itemAccess(table, ['GetItem', 'PutItem'], ['key_*']),
          itemAccess(table, ['UpdateItem'], ['key_*'], revocation),
          eventRecording(table),
          itemAccess(table, ['PutItem'], ['canary_samples']),
          ...flushAccess(table, []),
        ],
        environment: {
          ...monitoring.environment,
          REKEY_CANARY_CACHED_URL: apiOf('CachedApi', CACHE_TTL),
          REKEY_CANARY_UNCACHED_URL: apiOf('UncachedApi'),
        },
      },
      { timeout: TIMEOUT },
    );
    new Rule(this, 'Schedule', {
      description: 'Starts the canary',
      schedule: Schedule.rate(INTERVAL),
      targets: [new LambdaFunction(run, { retryAttempts: 0 })],
    });
    for (const stage of CANARY_STAGES) {
      const metric = (statistic: string, period: Duration) =>
        monitoring.metric('revocation_seconds', { statistic, dimensions: { stage }, period });
      monitoring.alarm({
        id: stage === 'cached' ? 'CachedRevocationLate' : 'RevocationLate',
        group: 'Revocation',
        metric: metric('Maximum', INTERVAL),
        threshold: LATE[stage],
        description: `A revoked key was let in for more than ${LATE[stage]} s ${stage === 'cached' ? 'where answers are kept' : 'where nothing is kept'}, or the canary does not run.`,
        runbook: 'revocation-late',
        when: {
          evaluationPeriods: 3,
          datapointsToAlarm: 2,
          // A run that fails measures nothing.
          treatMissingData: TreatMissingData.BREACHING,
        },
      });
    }
  }
}
