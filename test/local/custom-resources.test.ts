import { afterEach, describe, expect, it } from '@jest/globals';
import {
  type CustomResource,
  type CustomResources,
  startCustomResources,
} from '../../local/custom-resources.ts';
import { temporaryDirectory, world } from './fixtures/assembly.ts';

const TOKEN = 'arn:aws:lambda:us-east-1:000000000000:function:Rekey-Serves';

interface Event {
  RequestType: 'Create' | 'Update' | 'Delete';
  ResponseURL: string;
  StackId: string;
  RequestId: string;
  LogicalResourceId: string;
  ResourceProperties: Record<string, unknown>;
  [name: string]: unknown;
}
type Answer = (event: Event) => Record<string, unknown> | undefined;

const open: CustomResources[] = [];
afterEach(async () => {
  for (const each of open.splice(0)) await each.close();
});

/** Custom resources served by a function that answers by PUT; `events` is what it was sent. */
async function start(
  answer: Answer = (event) => ({ PhysicalResourceId: `made/${event.ResourceProperties['name']}` }),
  stateDir = temporaryDirectory(),
) {
  const events: Event[] = [];
  const lines: string[] = [];
  const resources = await startCustomResources({
    stateDir,
    ...world,
    timeLimitMs: 300,
    log: (line) => lines.push(line),
    async invoke(_arn, payload) {
      const event = payload as Event;
      events.push(event);
      const more = answer(event);
      if (more === undefined) return { payload: null };
      if (more['functionError']) return { payload: { errorType: 'Error' }, functionError: 'Unhandled' };
      const { StackId, RequestId, LogicalResourceId } = event;
      const body = JSON.stringify({ Status: 'SUCCESS', StackId, RequestId, LogicalResourceId, ...more });
      await fetch(event.ResponseURL, { method: 'PUT', body });
      return { payload: null };
    },
  });
  open.push(resources);
  const short = () =>
    events.map(({ RequestType, PhysicalResourceId }) => `${RequestType} ${PhysicalResourceId ?? ''}`.trim());
  return { resources, events, lines, short, stateDir };
}
const thing = (properties: Record<string, unknown>, more: Partial<CustomResource> = {}): CustomResource => ({
  stack: 'Rekey',
  logicalId: 'Thing',
  type: 'Custom::Thing',
  properties: { ServiceToken: TOKEN, ...properties },
  ...more,
});

describe('a custom resource', () => {
  it('is created by a request as CloudFormation sends it, and gives its physical id and its data', async () => {
    const { resources, events } = await start(() => ({
      PhysicalResourceId: 'made/a',
      Data: { Answer: '42', Deep: { n: 1 } },
    }));
    expect(await resources.apply(thing({ name: 'a', count: 1, on: true, list: [{ deep: 2 }] }))).toEqual({
      ref: 'made/a',
      attributes: { Answer: '42', Deep: '{"n":1}' },
    });
    expect(events).toEqual([
      {
        RequestType: 'Create',
        ServiceToken: TOKEN,
        ResponseURL: expect.stringMatching(/^http:\/\/127\.0\.0\.1:\d+\/[\w-]{32}$/),
        StackId: expect.stringMatching(/^arn:aws:cloudformation:us-east-1:000000000000:stack\/Rekey\//),
        RequestId: expect.stringMatching(/^[0-9a-f-]{36}$/),
        LogicalResourceId: 'Thing',
        ResourceType: 'Custom::Thing',
        // CloudFormation makes text of every number and boolean.
        ResourceProperties: { ServiceToken: TOKEN, name: 'a', count: '1', on: 'true', list: [{ deep: '2' }] },
      },
    ]);
  });

  it('is left alone by the next start when its properties are the same', async () => {
    const first = await start();
    await first.resources.apply(thing({ name: 'a' }));
    const second = await start(undefined, first.stateDir);
    expect(await second.resources.apply(thing({ name: 'a' }))).toEqual({ ref: 'made/a', attributes: {} });
    await second.resources.cleanUp();
    expect(second.events).toEqual([]);
  });

  it('is updated when they are not; the one it replaces is deleted after all others are done', async () => {
    const first = await start();
    await first.resources.apply(thing({ name: 'a' }));
    const { resources, events, short } = await start(undefined, first.stateDir);
    await resources.apply(thing({ name: 'b' }));
    expect(short()).toEqual(['Update made/a']);
    expect(events[0]).toMatchObject({
      OldResourceProperties: { name: 'a' },
      ResourceProperties: { name: 'b' },
    });
    await resources.cleanUp();
    expect(short()).toEqual(['Update made/a', 'Delete made/a']);
    expect(events[1]?.ResourceProperties).toMatchObject({ name: 'a' });
  });

  it('that keeps its physical id, or whose old self is to be retained, has nothing to delete', async () => {
    const first = await start(() => ({ PhysicalResourceId: 'same' }));
    await first.resources.apply(thing({ name: 'a' }));
    const second = await start(() => ({ PhysicalResourceId: 'other' }), first.stateDir);
    await second.resources.apply(thing({ name: 'b' }, { updateReplacePolicy: 'Retain' }));
    const third = await start(() => ({ PhysicalResourceId: 'other' }), first.stateDir);
    await third.resources.apply(thing({ name: 'c' }));
    await second.resources.cleanUp();
    await third.resources.cleanUp();
    expect([...second.short(), ...third.short()]).toEqual(['Update same', 'Update other']);
  });

  it('that is no longer in the templates is deleted, unless it is to be retained', async () => {
    const first = await start();
    await first.resources.apply(thing({ name: 'a' }));
    await first.resources.apply(thing({ name: 'kept' }, { logicalId: 'Kept', deletionPolicy: 'Retain' }));
    const second = await start(undefined, first.stateDir);
    await second.resources.cleanUp();
    expect(second.short()).toEqual(['Delete made/a']);
    const third = await start(undefined, first.stateDir);
    await third.resources.cleanUp();
    expect(third.events).toEqual([]);
  });

  it('is created again when the data it wrote is gone', async () => {
    const first = await start();
    await first.resources.apply(thing({ name: 'a' }));
    const second = await start(undefined, first.stateDir);
    second.resources.forget();
    await second.resources.apply(thing({ name: 'a' }));
    expect(second.short()).toEqual(['Create']);
  });

  it.each<[string, Answer, string]>([
    [
      'its function says so',
      () => ({ Status: 'FAILED', Reason: 'no such table' }),
      'Rekey/Thing (Custom::Thing): Create failed: no such table',
    ],
    ['its function fails', () => ({ functionError: true }), 'its function failed'],
    ['it never answers', () => undefined, 'no answer within 0.3 s'],
    [
      'it answers another request',
      () => ({ PhysicalResourceId: 'x', RequestId: 'other' }),
      'another RequestId',
    ],
    ['it has no physical id', () => ({}), 'no PhysicalResourceId'],
    [
      'its answer is larger than 4 KB',
      () => ({ PhysicalResourceId: 'x', Data: { large: 'x'.repeat(4096) } }),
      'CloudFormation takes 4096',
    ],
  ])('stops the start when %s, and the next start tries again', async (_why, answer, message) => {
    const { resources, stateDir } = await start(answer);
    await expect(resources.apply(thing({ name: 'a' }))).rejects.toThrow(message);
    const next = await start(undefined, stateDir);
    await next.resources.apply(thing({ name: 'a' }));
    expect(next.short()).toEqual(['Create']);
  });

  it('whose deletion fails is told of and stops nothing', async () => {
    const first = await start();
    await first.resources.apply(thing({ name: 'a' }));
    const second = await start(
      () => ({ Status: 'FAILED', Reason: 'still in use', PhysicalResourceId: 'made/a' }),
      first.stateDir,
    );
    await second.resources.cleanUp();
    expect(second.lines).toEqual([expect.stringContaining('Delete failed: still in use')]);
  });

  it('takes an answer at the secret path of its request only', async () => {
    let url = '';
    const { resources } = await start((event) => {
      url = event.ResponseURL;
      return { PhysicalResourceId: 'x' };
    });
    await resources.apply(thing({ name: 'a' }));
    expect((await fetch(new URL('/guess', url), { method: 'PUT', body: '{}' })).status).toBe(403);
    expect((await fetch(url, { method: 'PUT', body: '{}' })).status).toBe(403);
  });
});
