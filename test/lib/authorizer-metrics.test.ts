import { describe, expect, it } from '@jest/globals';
import { withMetric } from '../../lib/authorizer-metrics.ts';

const settings = { namespace: 'Rekey', service: 'Rekey-test' };

describe("the authorizer's log", () => {
  it('counts refusals, in all and by reason', () => {
    expect(withMetric({ event: 'refused', code: 'expired', key_id: 'key_1' }, settings, 5)).toEqual({
      event: 'refused',
      code: 'expired',
      key_id: 'key_1',
      service: 'Rekey-test',
      requests_refused: 1,
      _aws: {
        Timestamp: 5,
        CloudWatchMetrics: [
          {
            Namespace: 'Rekey',
            Dimensions: [['service'], ['service', 'code']],
            Metrics: [{ Name: 'requests_refused', Unit: 'Count' }],
          },
        ],
      },
    });
  });

  it('counts faults of its own apart', () => {
    expect(withMetric({ event: 'authorizer_failed', code: 'X' }, settings, 5)).toMatchObject({
      authorizer_faults: 1,
      _aws: { CloudWatchMetrics: [{ Dimensions: [['service']] }] },
    });
  });

  it('has other lines as they are', () => {
    const line = { event: 'something' };
    expect(withMetric(line, settings, 5)).toBe(line);
  });
});
