import { describe, expect, it } from '@jest/globals';
import { type CanarySample, measured } from '../../lib/canary-sample.ts';
import { type Observed, statusFrom } from '../../lib/status.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const ago = (seconds: number) => new Date(NOW - seconds * 1000).toISOString();
const sample = (refused_after_ms: number, age = 60, gave_up = false): CanarySample => ({
  canary_stage: 'cached',
  measured_at: ago(age),
  refused_after_ms,
  gave_up,
});

describe('what the canary has measured', () => {
  it('is in percentiles of values that were measured', () => {
    const samples = Array.from({ length: 200 }, (_, i) => sample(200 - i));
    expect(measured(samples)).toEqual({
      samples: 200,
      gave_up: 0,
      p50_ms: 100,
      p95_ms: 190,
      p99_ms: 198,
      max_ms: 200,
    });
  });

  it('is the one value, of one sample', () => {
    expect(measured([sample(7)])).toMatchObject({ samples: 1, p50_ms: 7, p95_ms: 7, p99_ms: 7, max_ms: 7 });
  });

  it('is nothing without samples, and not zero', () => {
    expect(measured([])).toEqual({
      samples: 0,
      gave_up: 0,
      p50_ms: null,
      p95_ms: null,
      p99_ms: null,
      max_ms: null,
    });
  });

  it('counts the runs that gave up', () => {
    expect(measured([sample(60_001, 60, true), sample(10)])).toMatchObject({ gave_up: 1, max_ms: 60_001 });
  });
});

describe('the status', () => {
  const beat = (age: number, late_seconds = 0) => ({ beat_at: ago(age), late_seconds });
  const observed = (change: {
    sweep?: Observed['heartbeats']['sweep'];
    publishing?: Observed['heartbeats']['publishing'];
    delivery?: Observed['heartbeats']['delivery'];
    key?: string;
    due?: string;
    cached?: CanarySample[];
  }) =>
    statusFrom(
      {
        samples: { cached: change.cached ?? [], uncached: [] },
        heartbeats: { sweep: change.sweep, publishing: change.publishing, delivery: change.delivery },
        oldest: { key: change.key, delivery: change.due },
      },
      NOW,
      60,
    );

  it('knows nothing of a stack that has just been made', () => {
    const { sweep, publishing, delivery, revocation } = observed({});
    expect([sweep.healthy, publishing.healthy, delivery.healthy]).toEqual([null, null, null]);
    expect(revocation.last_measured_at).toBeNull();
  });

  it.each([
    [true, { sweep: beat(3_600) }],
    [true, { sweep: beat(60), key: ago(7_200) }],
    [false, { sweep: beat(7_201) }],
    [false, { sweep: beat(60), key: ago(7_201) }],
    [false, { key: ago(7_201) }],
  ])('says %s of the sweep', (healthy, change) => {
    expect(observed(change).sweep.healthy).toBe(healthy);
  });

  it.each([
    [true, { publishing: beat(60, 2) }],
    [false, { publishing: beat(60, 300) }],
    [false, { publishing: beat(901, 2), cached: [sample(1)] }],
    [null, { publishing: beat(901, 2) }],
    [null, { publishing: beat(901, 2), cached: [sample(1, 901)] }],
  ])('says %s of publishing', (healthy, change) => {
    expect(observed(change).publishing.healthy).toBe(healthy);
  });

  it.each([
    [true, { delivery: beat(60) }],
    [false, { delivery: beat(301) }],
    [false, { delivery: beat(60), due: ago(600) }],
  ])('says %s of delivery', (healthy, change) => {
    expect(observed(change).delivery.healthy).toBe(healthy);
  });
});
