import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import { registerStage, registerStages } from '../../lib/register-stage.ts';
import type { StageDeclaration } from '../../lib/stage.schema.ts';
import { readStages } from '../../lib/stage-table.ts';
import { type Engine, startEngine } from './engine.ts';

const NOW = Date.parse('2026-11-24T12:00:00.000Z');
const DAY = 24 * 60 * 60 * 1000;
const HASH = 'a'.repeat(64);
const OTHER_HASH = 'b'.repeat(64);
let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine.close());

const stageOf = (api_id: string, cache_ttl_seconds: number): Partial<StageDeclaration> => ({
  api_id,
  stage: 'v1',
  kind: 'rest',
  account: '000000000000',
  region: 'us-east-1',
  cache_ttl_seconds,
});
const ask = (
  RequestType: 'Create' | 'Update' | 'Delete',
  api: string,
  hash: string,
  stage?: object,
  now = NOW,
) =>
  registerStage(
    {
      RequestType,
      ResourceProperties: { ...(stage && { Stage: JSON.stringify(stage) }) },
    } as unknown as CloudFormationCustomResourceEvent,
    `routes_${api}/${hash}`,
    now,
    engine.table,
  );
const cached = async (api: string, now = NOW) => {
  const stages = await readStages(now, engine.table);
  return stages.filter(({ api_id }) => api_id === api).map(({ is_cached }) => is_cached);
};

describe('the stages of a deployment', () => {
  it('are cached before the new routes are in force, and a day after the old ones are given up', async () => {
    await ask('Create', 'one', HASH, stageOf('one', 300));
    await ask('Update', 'one', OTHER_HASH, stageOf('one', 0));
    expect(await cached('one')).toEqual([true]);
    await ask('Delete', 'one', HASH);
    expect(await cached('one')).toEqual([true]);
    expect(await cached('one', NOW + DAY)).toEqual([false]);
  });

  it('are cached as before when the deployment is rolled back', async () => {
    await ask('Create', 'two', HASH, stageOf('two', 300));
    await ask('Update', 'two', OTHER_HASH, stageOf('two', 600));
    await ask('Delete', 'two', OTHER_HASH);
    expect(await cached('two', NOW + 2 * DAY)).toEqual([true]);
  });

  it('are gone a day after their API', async () => {
    await ask('Create', 'three', HASH, stageOf('three', 300));
    await ask('Delete', 'three', HASH);
    expect(await cached('three', NOW + DAY - 1000)).toEqual([true]);
    expect(await cached('three', NOW + DAY)).toEqual([]);
  });

  it('are wanted again when they come back within the day', async () => {
    await ask('Create', 'four', HASH, stageOf('four', 300));
    await ask('Delete', 'four', HASH);
    await ask('Update', 'four', HASH, stageOf('four', 300));
    expect(await cached('four', NOW + 2 * DAY)).toEqual([true]);
  });

  it('are left alone by a resource of an earlier version, which says nothing of them', async () => {
    await ask('Create', 'five', HASH);
    expect(await cached('five')).toEqual([]);
    await ask('Delete', 'five', HASH);
  });

  it('are refused with what is wrong, in words', async () => {
    const wrong = { ...stageOf('six', 300), kind: 'soap', cache_ttl_seconds: 3601 };
    await expect(ask('Create', 'six', HASH, wrong)).rejects.toThrow(
      'Stage is not valid: kind must be one of rest, http, websocket; cache_ttl_seconds must be at most 3600',
    );
    await expect(ask('Create', 'six', HASH, stageOf('other', 300))).rejects.toThrow(
      'Stage must be of the API',
    );
    expect(await cached('six')).toEqual([]);
  });
});

describe('the stages of a request', () => {
  const home = { account: '000000000000', region: 'us-east-1' };
  const stage = (name: string, cache_header: string | null = null) => ({
    name,
    cache_header,
    kind: 'http' as const,
    flush_role_arn: null,
  });
  const put = (now: number, ...stages: ReturnType<typeof stage>[]) =>
    registerStages('seven', stages, home, now, engine.table);

  it('take the place of what was said before, which counts a day longer', async () => {
    await put(NOW, stage('v1', 'x-api-key'), stage('v2'));
    expect(await cached('seven')).toEqual([true, false]);
    await put(NOW, stage('v2', 'x-api-key'));
    expect(await cached('seven')).toEqual([true, true]);
    expect(await cached('seven', NOW + DAY)).toEqual([true]);
    await put(NOW + DAY);
    expect(await cached('seven', NOW + 2 * DAY)).toEqual([]);
  });

  it('are of the account of their role', async () => {
    const flush_role_arn = 'arn:aws:iam::222222222222:role/rekey-flush-x';
    await registerStages('eight', [{ ...stage('v1', 'x-api-key'), flush_role_arn }], home, NOW, engine.table);
    const [found] = (await readStages(NOW, engine.table)).filter(({ api_id }) => api_id === 'eight');
    expect(found).toMatchObject({ account: '222222222222', role_arn: flush_role_arn, kind: 'http' });
  });
});
