import type { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import type { SQSRecord } from 'aws-lambda';
import { flushAtOnce, flushStage } from '../../lib/flush.ts';
import { flushForEvents } from '../../lib/flush-events.ts';
import { readFlushState } from '../../lib/flush-table.ts';
import type { Stage } from '../../lib/stage.ts';
import { putStage } from '../../lib/stage-table.ts';
import { type Engine, startEngine } from './engine.ts';
import { makeTable } from './new-table.ts';

let engine: Engine;
let table: Engine['table'];
let tables = 0;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.close());

/** What API Gateway was asked, by stage, with the time of each call. */
const calls: { name: string; at: number }[] = [];
let answer: (stage: Stage, nth: number) => Promise<void>;
const tools = {
  flush: async (stage: Stage) => {
    calls.push({ name: `${stage.api_id}/${stage.stage}`, at: Date.now() });
    await answer(stage, calls.length);
  },
  get table() {
    return table;
  },
};
const error = (name: string) => Object.assign(new Error('no'), { name });

const stageOf = (api_id: string, cache_ttl_seconds = 300): Stage => ({
  api_id,
  stage: 'v1',
  kind: 'rest',
  account: '000000000000',
  region: 'us-east-1',
  cache_ttl_seconds,
  role_arn: null,
  is_cached: cache_ttl_seconds > 0,
});
const register = async (...stages: Stage[]) => {
  for (const { is_cached: _, ...declared } of stages)
    await putStage(declared, 'a'.repeat(64), Date.now(), table);
};
const limits = () => ({ until: Date.now() + 10_000, interval: 1_000 });

beforeEach(async () => {
  jest.spyOn(console, 'error').mockImplementation(() => undefined);
  calls.length = 0;
  answer = async () => undefined;
  tables += 1;
  table = { ...engine.table, tableName: `flush-${process.pid}-${tables}` };
  await makeTable(table.client as unknown as DynamoDBClient, table.tableName);
});

describe('flushing at once', () => {
  it('says of each stage whether it is flushed or keeps nothing', async () => {
    await register(stageOf('one'), stageOf('two', 0));
    expect(await flushAtOnce(tools)).toEqual([
      { api_id: 'one', stage: 'v1', cache: 'flushed' },
      { api_id: 'two', stage: 'v1', cache: 'none' },
    ]);
    expect(calls.map(({ name }) => name)).toEqual(['one/v1']);
  });

  it('leaves what API Gateway throttles to the queue, in a small time', async () => {
    answer = () => Promise.reject(error('TooManyRequestsException'));
    await register(stageOf('one'));
    const began = Date.now();
    expect(await flushAtOnce(tools)).toEqual([{ api_id: 'one', stage: 'v1', cache: 'pending' }]);
    expect(Date.now() - began).toBeLessThan(4_000);
  });

  it('leaves what does not answer in time to the queue', async () => {
    answer = (stage) => (stage.api_id === 'slow' ? new Promise(() => undefined) : Promise.resolve());
    await register(stageOf('fast'), stageOf('slow'));
    expect(await flushAtOnce(tools)).toEqual([
      { api_id: 'fast', stage: 'v1', cache: 'flushed' },
      { api_id: 'slow', stage: 'v1', cache: 'pending' },
    ]);
  });

  it('takes a stage that is gone for flushed', async () => {
    answer = () => Promise.reject(error('NotFoundException'));
    await register(stageOf('one'));
    expect(await flushAtOnce(tools)).toMatchObject([{ cache: 'flushed' }]);
  });

  it('tries eight stages and leaves the others to the queue', async () => {
    await register(...Array.from({ length: 10 }, (_, i) => stageOf(`api${i}`)));
    const told = (await flushAtOnce(tools)) ?? [];
    expect(told.map(({ cache }) => cache).toSorted()).toEqual([
      ...Array<string>(8).fill('flushed'),
      'pending',
      'pending',
    ]);
  });

  it('says null when nobody can tell which stages there are, and fails nobody', async () => {
    const nowhere = { ...table, tableName: 'not-there' };
    expect(await flushAtOnce({ ...tools, table: nowhere })).toBeNull();
  });
});

describe('a flush of a stage', () => {
  it('is one for all who ask together, and each is told when it began late enough', async () => {
    const stage = stageOf('one');
    const told = await Promise.all(
      Array.from({ length: 100 }, () => flushStage(stage, Date.now(), limits(), tools)),
    );
    expect(new Set(told)).toEqual(new Set(['flushed']));
    expect(calls.length).toBeLessThanOrEqual(3);
  });

  it('that began before the change was written is not enough', async () => {
    const stage = stageOf('one');
    await flushStage(stage, Date.now(), limits(), tools);
    await flushStage(stage, Date.now(), limits(), tools);
    expect(calls).toHaveLength(2);
    // Of one stage no more than one a second.
    expect(calls[1]!.at - calls[0]!.at).toBeGreaterThanOrEqual(950);
  });

  it('that began after it is enough', async () => {
    const need = Date.now() - 5_000;
    await flushStage(stageOf('one'), need, limits(), tools);
    expect(await flushStage(stageOf('one'), need, limits(), tools)).toBe('flushed');
    expect(calls).toHaveLength(1);
  });

  it('is tried again when it failed, after a pause that all keep', async () => {
    answer = async (_stage, nth) => {
      if (nth <= 2) throw error('TooManyRequestsException');
    };
    expect(await flushStage(stageOf('one'), Date.now(), limits(), tools)).toBe('flushed');
    expect(calls).toHaveLength(3);
    expect(calls[1]!.at - calls[0]!.at).toBeGreaterThanOrEqual(950);
    expect(calls[2]!.at - calls[1]!.at).toBeGreaterThanOrEqual(1_900);
  });

  it('is begun by another when whoever began it never came back', async () => {
    const stage = stageOf('one');
    void flushStage(stage, Date.now(), limits(), { table, flush: () => new Promise(() => undefined) });
    while ((await readFlushState(stage, table)).next_flush_at === null)
      await new Promise((soon) => setTimeout(soon, 5));
    expect(await flushStage(stage, Date.now(), limits(), tools)).toBe('flushed');
  });
});

describe('a batch of events', () => {
  const message = (
    detail: Record<string, unknown>,
    times: { sent?: number; received?: number } = {},
  ): SQSRecord => {
    const { sent = Date.now() } = times;
    const { received = sent } = times;
    return {
      messageId: `message-${Math.random()}`,
      body: JSON.stringify({ detail: { occurred_at: new Date(sent).toISOString(), changes: [], ...detail } }),
      attributes: { SentTimestamp: String(sent), ApproximateFirstReceiveTimestamp: String(received) },
    } as unknown as SQSRecord;
  };
  const revoked = (times?: { sent?: number; received?: number }) =>
    message({ type: 'api_key.revoked' }, times);
  const run = (Records: SQSRecord[], within = 10_000) =>
    flushForEvents({ Records }, Date.now() + within, tools);

  it('of a thousand revocations is one flush of each cached stage', async () => {
    await register(stageOf('one'), stageOf('two'), stageOf('three', 0));
    const { response, pending } = await run(Array.from({ length: 1_000 }, () => revoked()));
    expect({ response, pending }).toEqual({ response: { batchItemFailures: [] }, pending: 0 });
    expect(calls.map(({ name }) => name).toSorted()).toEqual(['one/v1', 'two/v1']);
  });

  it('in which nobody lost access is none', async () => {
    await register(stageOf('one'));
    const renamed = { type: 'api_key.updated', changes: [{ field: 'name', from: 'a', to: 'b' }] };
    expect((await run([message(renamed)])).lag_seconds).toBeUndefined();
    expect(calls).toEqual([]);
  });

  it('comes again when a stage could not be flushed, and then flushes that one only', async () => {
    await register(stageOf('one'), stageOf('two'));
    answer = async ({ api_id }) => {
      if (api_id === 'two') throw error('AccessDeniedException');
    };
    const records = [revoked(), message({ type: 'api_key.updated' })];
    const first = await run(records, 500);
    expect(first.pending).toBe(1);
    // Of the two only the revocation wants a flush.
    expect(first.response.batchItemFailures).toEqual([{ itemIdentifier: records[0]!.messageId }]);

    answer = async () => undefined;
    calls.length = 0;
    // The other stage has been flushed late enough for its second.
    await new Promise((soon) => setTimeout(soon, 300));
    const again = await flushForEvents(
      {
        Records: [
          {
            ...records[0]!,
            attributes: { ...records[0]!.attributes, ApproximateFirstReceiveTimestamp: '1' },
          },
        ],
      },
      Date.now() + 10_000,
      tools,
    );
    expect(again.response.batchItemFailures).toEqual([]);
    expect(calls.map(({ name }) => name)).toEqual(['two/v1']);
  });

  it('says how late it is, but for the wait that its queue imposes', async () => {
    await register(stageOf('one'));
    const now = Date.now();
    const { lag_seconds, publish_lag_seconds } = await run([
      message(
        { type: 'api_key.revoked', occurred_at: new Date(now - 18_000).toISOString() },
        { sent: now - 15_000, received: now },
      ),
    ]);
    expect(lag_seconds).toBeGreaterThanOrEqual(3);
    expect(lag_seconds).toBeLessThan(6);
    expect(publish_lag_seconds).toBe(3);
  });

  it('does the others when one message cannot be read, and gives that one back', async () => {
    await register(stageOf('one'));
    const broken = { ...revoked(), body: '{' };
    const { response } = await run([broken, revoked()]);
    expect(response.batchItemFailures).toEqual([{ itemIdentifier: broken.messageId }]);
    expect(calls).toHaveLength(1);
  });
});
