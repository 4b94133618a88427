import { DELIVERY_SHARDS } from '../delivery.ts';
import { sweepIntervalMinutes } from '../environment.ts';
import { keyShards } from '../schedule.ts';
import { Status, statusFrom, WINDOW_MS } from '../status.ts';
import { getHeartbeat, oldestDue, readSamples } from '../status-table.ts';
import { defineOperation } from './definition.ts';

const at = '2026-11-24T12:00:00.000Z';

export const getStatus = defineOperation({
  name: 'get-status',
  method: 'GET',
  path: '/status',
  scope: 'status:read',
  summary: 'How the stack is',
  description:
    'How fast revocations take effect, as measured from outside over the last day, and whether the sweep, publishing and webhooks keep up.',
  answer: { status: 200, description: 'What is known.', schema: Status },
  problems: [],
  examples: {
    answer: {
      checked_at: at,
      revocation: {
        since: '2026-11-23T12:00:00.000Z',
        cached: { samples: 288, gave_up: 0, p50_ms: 240, p95_ms: 610, p99_ms: 1_320, max_ms: 2_050 },
        uncached: { samples: 288, gave_up: 0, p50_ms: 38, p95_ms: 71, p99_ms: 160, max_ms: 410 },
        last_measured_at: '2026-11-24T11:57:12.004Z',
      },
      sweep: { healthy: true, last_run_at: '2026-11-24T11:31:00.120Z', oldest_due_age_seconds: 0 },
      publishing: { healthy: true, last_run_at: '2026-11-24T11:57:13.310Z', lag_seconds: 0.8 },
      delivery: { healthy: true, last_run_at: '2026-11-24T11:59:20.002Z', oldest_due_age_seconds: 0 },
    },
  },
  async run({ now }) {
    const [samples, sweep, publishing, delivery, key, due] = await Promise.all([
      readSamples(now - WINDOW_MS),
      getHeartbeat('sweep'),
      getHeartbeat('publishing'),
      getHeartbeat('delivery'),
      oldestDue(keyShards, now),
      oldestDue(DELIVERY_SHARDS, now),
    ]);
    const heartbeats = { sweep, publishing, delivery };
    return statusFrom({ samples, heartbeats, oldest: { key, delivery: due } }, now, sweepIntervalMinutes());
  },
});
