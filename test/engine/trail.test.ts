import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { publicKey } from '../../lib/api-key.ts';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import { type Event, type EventType, eventSchemaOf } from '../../lib/event.schema.ts';
import { keyEvent, newEventId } from '../../lib/event.ts';
import { type EventQuery, listEvents, putEvent } from '../../lib/event-table.ts';
import { createKeyReader } from '../../lib/key-reader.ts';
import {
  createKey,
  getKey,
  markFirstUse,
  replaceSecret,
  revokeKey,
  rotateKey,
  updateKey,
} from '../../lib/key-table.ts';
import { KeyRevoked } from '../../lib/problem.ts';
import { ConditionFailed, type KeyTable, transact } from '../../lib/table-client.ts';
import { type Engine, startEngine } from './engine.ts';
import { awsEnvironment } from './environment.ts';
import {
  aKey,
  by,
  DAY,
  everything,
  HOUR,
  instant,
  NOW,
  newDigest,
  outcomes,
  RETENTION_DAYS,
  rotating,
  SETTINGS,
} from './keys.ts';
import { unreliableNetwork } from './unreliable-network.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

const now = NOW + HOUR;
const revocation = { reason: 'leaked', retention_days: RETENTION_DAYS };
const stored = async (facts: Partial<ApiKeyRecord> = {}) => {
  const key = aKey(facts);
  await createKey(key, by(NOW), undefined, engine.table);
  return key;
};

/** All of a key's trail, oldest first. */
const trail = async (id: string): Promise<Event[]> => {
  const { events, last } = await listEvents({ of: { subject_id: id }, limit: 1_000 }, engine.table);
  expect(last).toBeUndefined();
  return events.reverse();
};
const typesOf = async (id: string) => (await trail(id)).map(({ type }) => type);

/** What an event shows of a key. */
const shown = (record: ApiKeyRecord, at: number) => {
  const {
    hint: _h,
    last_used_at: _at,
    last_used_ip: _ip,
    last_used_route: _route,
    ...key
  } = publicKey(record, at);
  return key;
};

/**
 * There is no state without its event and no event without its state: the first event shows the key as it was made, each
 * other one begins where the one before it ended, and the last shows the key as it is.
 */
const expectAgreement = async (id: string) => {
  const record = (await getKey(id, engine.table))!;
  const events = await trail(id);
  for (const event of events) expect(eventSchemaOf(event.type).parse(event)).toEqual(event);
  const firstUses = events.filter(({ type }) => type === 'api_key.first_used');
  expect(firstUses).toHaveLength(record.first_used_at === null ? 0 : 1);
  expect(events[0]?.type).toBe('api_key.created');
  const told = ({ data }: Event) => data['api_key'] as Record<string, unknown>;
  for (const [at, event] of events.entries()) {
    const before = events[at - 1];
    if (before) expect(event.occurred_at > before.occurred_at).toBe(true);
    for (const { field, from } of event.changes) expect(from).toEqual(told(before!)[field] ?? null);
  }
  const last = events.at(-1)!;
  expect(told(last)).toEqual(shown(record, Date.parse(last.occurred_at)));
  return { record, events };
};

describe('every change of a key', () => {
  const changes: Record<
    string,
    { deed: (key: ApiKeyRecord, table: KeyTable) => Promise<unknown>; type: EventType; told?: object }
  > = {
    updateKey: {
      deed: (key, table) => updateKey(key, () => ({ name: 'Renamed' }), by(now), table),
      type: 'api_key.updated',
      told: { reason: null, changes: [{ field: 'name', from: 'Orders worker', to: 'Renamed' }] },
    },
    rotateKey: {
      deed: (key, table) => rotateKey(key, rotating(), by(now), undefined, table),
      type: 'api_key.rotated',
      told: {
        changes: [
          { field: 'expires_at', from: instant(NOW + 30 * DAY), to: instant(now + 24 * HOUR) },
          { field: 'rotated_at', from: null, to: instant(now) },
          { field: 'successor_key_id', from: null, to: expect.stringMatching(/^key_/) },
        ],
      },
    },
    revokeKey: {
      deed: (key, table) => revokeKey(key, revocation, by(now), table),
      type: 'api_key.revoked',
      told: {
        reason: 'leaked',
        changes: [
          { field: 'revoked_at', from: null, to: instant(now) },
          { field: 'revoked_reason', from: null, to: 'leaked' },
        ],
      },
    },
    replaceSecret: {
      deed: (key, table) => replaceSecret(key, { digest: newDigest(), hint: 'wxyz' }, by(now), table),
      type: 'api_key.updated',
      told: { reason: 'secret_replaced', changes: [] },
    },
    markFirstUse: {
      deed: (key, table) => markFirstUse(key, key.digest, by(now), SETTINGS, table),
      type: 'api_key.first_used',
      told: { changes: [{ field: 'first_used_at', from: null, to: instant(now) }] },
    },
    'markFirstUse of the authorizer': {
      deed: (key) => {
        const call = createDynamoDbCall(awsEnvironment(engine.endpoint));
        const reader = createKeyReader({
          table: engine.table.tableName,
          call,
          eventRetentionDays: 400,
          retentionDays: 90,
        });
        return reader.markFirstUse(key.id, key.digest, by(now));
      },
      type: 'api_key.first_used',
      told: { changes: [{ field: 'first_used_at', from: null, to: instant(now) }] },
    },
  };

  it.each(Object.entries(changes))('leaves exactly one event: %s', async (_, { deed, type, told }) => {
    const key = await stored();
    await deed(key, engine.table);
    const { record, events } = await expectAgreement(key.id);
    expect(events.map((event) => event.type)).toEqual(['api_key.created', type]);
    expect(events[1]).toMatchObject({
      ...told,
      occurred_at: instant(now),
      actor: by().actor,
      api_key_id: key.id,
      owner_id: key.owner_id,
      data: { api_key: shown(record, now) },
    });
  });

  it('that makes a key leaves its event: a successor’s is its own', async () => {
    const key = await stored();
    const rotated = await rotateKey(key, rotating(), by(now), undefined, engine.table);
    if (rotated === 'taken') throw new Error('taken');
    const { events } = await expectAgreement(rotated.successor.id);
    expect(events).toHaveLength(1);
    expect(events[0]).toMatchObject({
      type: 'api_key.created',
      changes: [],
      data: { api_key: { parent_key_id: key.id, generation: 1 } },
    });
  });

  /** Does it over a network on which the first answers to writes are lost. */
  const losing = async (answers: number, deed: (table: KeyTable) => Promise<unknown>) => {
    const network = await unreliableNetwork(engine.endpoint, (name, count) =>
      name === 'TransactWriteItems' && count <= answers ? 'lose answer' : 'pass',
    );
    const done = await deed(engine.open({ endpoint: network.endpoint })).catch((problem) => problem.code);
    await network.close();
    return done;
  };
  const overTheNetwork = Object.entries(changes).filter(([name]) => !name.includes('authorizer'));

  it.each(overTheNetwork)(
    'leaves exactly one event when an answer is lost: %s',
    async (_, { deed, type }) => {
      const key = await stored();
      expect(await losing(1, (table) => deed(key, table))).not.toBe('unavailable');
      const { events } = await expectAgreement(key.id);
      expect(events.map((event) => event.type)).toEqual(['api_key.created', type]);
    },
  );

  it.each(overTheNetwork.filter(([name]) => name !== 'replaceSecret'))(
    'leaves exactly one event when all answers are lost and the client asks again: %s',
    async (_, { deed, type }) => {
      const key = await stored();
      expect(await losing(1_000, (table) => deed(key, table))).toBe('unavailable');
      await deed((await getKey(key.id, engine.table))!, engine.table).catch(() => undefined);
      const { events } = await expectAgreement(key.id);
      expect(events.map((event) => event.type)).toEqual(['api_key.created', type]);
    },
  );

  it('that makes a key leaves exactly one event when its answer is lost', async () => {
    const key = aKey();
    expect(await losing(1, (table) => createKey(key, by(NOW), undefined, table))).toEqual(key);
    expect((await expectAgreement(key.id)).events).toHaveLength(1);
  });

  it('holds no digest and no hint in its events', async () => {
    const key = await stored();
    for (const { deed } of Object.values(changes))
      await deed((await getKey(key.id, engine.table))!, engine.table).catch(() => undefined);
    const texts = (await everything(engine.table)).flatMap(({ event }) => (event ? [String(event)] : []));
    expect(texts.length).toBeGreaterThan(2);
    for (const text of texts) {
      expect(text).not.toMatch(/[0-9a-f]{64}/);
      expect(text).not.toContain('"hint"');
    }
  });
});

describe('what changes nothing', () => {
  it('leaves no event: an update to what is there already, whatever the order of its members', async () => {
    const key = await stored({ metadata: { a: '1', b: '2' } });
    const same = { name: key.name, metadata: { b: '2', a: '1' }, scopes: [...key.scopes] };
    const expiry = { expires_at: key.expires_at, ttl: key.ttl };
    expect(await updateKey(key, () => ({ ...same, ...expiry }), by(now), engine.table)).toEqual(key);
    expect(await typesOf(key.id)).toEqual(['api_key.created']);
    expect(await getKey(key.id, engine.table)).toEqual(key);
  });

  it('leaves no event: a second revoke and a second first use', async () => {
    const key = await stored();
    await markFirstUse(key, key.digest, by(now), SETTINGS, engine.table);
    await markFirstUse(key, key.digest, by(now), SETTINGS, engine.table);
    await revokeKey(key, revocation, by(now), engine.table);
    await revokeKey(key, revocation, by(now + 1), engine.table);
    expect((await typesOf(key.id)).sort()).toEqual([
      'api_key.created',
      'api_key.first_used',
      'api_key.revoked',
    ]);
  });

  it('leaves no event: a rotation that is refused', async () => {
    const key = await stored();
    await revokeKey(key, revocation, by(now), engine.table);
    await expect(rotateKey(key, rotating(), by(now), undefined, engine.table)).rejects.toThrow();
    expect(await typesOf(key.id)).toEqual(['api_key.created', 'api_key.revoked']);
  });
});

describe('state and trail agree', () => {
  it('after 200 simultaneous rotations', async () => {
    const key = await stored();
    await outcomes(
      Array.from({ length: 200 }, () => rotateKey(key, rotating(), by(now), undefined, engine.table)),
    );
    const { record, events } = await expectAgreement(key.id);
    expect(events.map(({ type }) => type)).toEqual(['api_key.created', 'api_key.rotated']);
    const successor = await expectAgreement(record.successor_key_id!);
    expect(successor.events).toHaveLength(1);
    // No other successor left an event.
    const made = (await everything(engine.table)).filter(({ event }) =>
      event ? JSON.parse(String(event)).data.api_key?.parent_key_id === key.id : false,
    );
    expect(made).toHaveLength(1);
  });

  it('when revoke, rotation, change, first use and a replaced secret come at once', async () => {
    for (let round = 0; round < 25; round++) {
      const key = await stored();
      const unlessRevoked = (record: ApiKeyRecord) => {
        if (record.revoked_at !== null) throw new KeyRevoked();
        return { name: `Name ${round}` };
      };
      const deeds = [
        () => revokeKey(key, revocation, by(now), engine.table),
        () => rotateKey(key, rotating(), by(now), undefined, engine.table),
        () => updateKey(key, unlessRevoked, by(now), engine.table),
        () => markFirstUse(key, key.digest, by(now), SETTINGS, engine.table),
        () => replaceSecret(key, { digest: newDigest(), hint: 'wxyz' }, by(now), engine.table),
      ];
      const turn = round % deeds.length;
      await outcomes(
        [...deeds.slice(turn), ...deeds.slice(0, turn)].map((deed) => deed() as Promise<unknown>),
      );
      const { record, events } = await expectAgreement(key.id);
      expect(record.revoked_at).toBe(instant(now));
      expect(events.filter(({ type }) => type === 'api_key.revoked')).toHaveLength(1);
    }
  });
});

describe('the order of a trail', () => {
  const renaming = (key: ApiKeyRecord, at: number, name: string) =>
    updateKey(key, () => ({ name }), by(at), engine.table);

  it('is that of the changes, when all are made within one millisecond', async () => {
    const key = await stored();
    let record = key;
    for (let i = 0; i < 4; i++) record = await renaming(record, NOW, `before ${i}`);
    await markFirstUse(record, key.digest, by(NOW), SETTINGS, engine.table);
    record = (await getKey(key.id, engine.table))!;
    for (let i = 0; i < 4; i++) record = await renaming(record, NOW, `after ${i}`);
    await revokeKey(record, revocation, by(NOW), engine.table);
    const { events } = await expectAgreement(key.id);
    expect(
      events.map(({ type, changes }) => changes.find(({ field }) => field === 'name')?.to ?? type),
    ).toEqual([
      'api_key.created',
      ...['before 0', 'before 1', 'before 2', 'before 3'],
      'api_key.first_used',
      ...['after 0', 'after 1', 'after 2', 'after 3'],
      'api_key.revoked',
    ]);
  });

  it('is that of the changes, when the clock of one is behind', async () => {
    const key = await stored();
    const renamed = await renaming(key, now, 'first');
    await renaming(renamed, now - 5_000, 'second');
    const { events } = await expectAgreement(key.id);
    expect(events.map(({ occurred_at }) => occurred_at)).toEqual([
      instant(NOW),
      instant(now),
      instant(now + 1),
    ]);
  });

  it('is that of the changes, when one began first and had to be decided again', async () => {
    const key = await stored();
    await renaming(key, now + 50, 'second to begin');
    await renaming(key, now, 'first to begin');
    const { events } = await expectAgreement(key.id);
    expect(events.map(({ data }) => (data['api_key'] as ApiKeyRecord).name).slice(1)).toEqual([
      'second to begin',
      'first to begin',
    ]);
  });

  it('is that of many simultaneous changes', async () => {
    const key = await stored();
    await outcomes(Array.from({ length: 8 }, (_, i) => renaming(key, now - i, `name ${i}`)));
    await expectAgreement(key.id);
  });
});

describe('an event', () => {
  it('is never written over', async () => {
    const key = await stored();
    const event = keyEvent('api_key.updated', key, by(now), { id: newEventId(now) });
    expect(await transact(engine.table, [putEvent(event, engine.table)])).not.toBeInstanceOf(ConditionFailed);
    const forged = putEvent({ ...event, actor: 'system:nobody' }, engine.table);
    expect(await transact(engine.table, [forged])).toBeInstanceOf(ConditionFailed);
    expect((await trail(key.id)).at(-1)).toEqual(event);
  });
});

describe('a list of events', () => {
  const OWNER = 'team-list';
  const SUBJECT = aKey({ owner_id: OWNER });
  const AT = Array.from({ length: 30 }, (_, index) => NOW + index * DAY);
  let recorded: Event[];

  beforeAll(async () => {
    recorded = AT.map((at, index) =>
      keyEvent(index % 3 === 0 ? 'api_key.updated' : 'api_key.revoked', SUBJECT, by(at), {
        id: newEventId(at),
      }),
    );
    for (const event of recorded) await transact(engine.table, [putEvent(event, engine.table)]);
  });

  const all = async (asked: Omit<EventQuery, 'after'>) => {
    const ids: string[] = [];
    const sizes: number[] = [];
    let after: string | undefined;
    do {
      const page = await listEvents({ ...asked, after }, engine.table);
      ids.push(...page.events.map(({ id }) => id));
      sizes.push(page.events.length);
      after = page.last;
    } while (after !== undefined);
    return { ids, sizes };
  };
  const newestFirst = (events: Event[]) => events.map(({ id }) => id).reverse();

  it.each([1, 7, 29, 30, 31, 100])('has each once, newest first, in pages of %i', async (limit) => {
    for (const place of [{ owner_id: OWNER }, { subject_id: SUBJECT.id }]) {
      const { ids, sizes } = await all({ of: place, limit });
      expect(ids).toEqual(newestFirst(recorded));
      // Full pages, and no empty one at the end.
      for (const size of sizes.slice(0, -1)) expect(size).toBe(limit);
      expect(sizes).toHaveLength(Math.ceil(30 / limit));
    }
  });

  it('fills its pages with those that were asked for', async () => {
    const filter = ({ type }: Event) => type === 'api_key.updated';
    const { ids, sizes } = await all({ of: { owner_id: OWNER }, limit: 4, filter });
    expect(ids).toEqual(newestFirst(recorded.filter(filter)));
    expect(sizes).toEqual([4, 4, 2]);
  });

  it('looks at a bounded number of events for one page, and goes on from there', async () => {
    const filter = ({ id }: Event) => id === recorded[0]!.id;
    const { ids, sizes } = await all({ of: { owner_id: OWNER }, limit: 4, filter, budget: 10 });
    expect(ids).toEqual([recorded[0]!.id]);
    expect(sizes.slice(0, -1).every((size) => size <= 1)).toBe(true);
    expect(sizes.length).toBeGreaterThanOrEqual(3);
  });

  it.each([
    [AT[5], AT[9], 5, 9],
    [AT[5]! + 1, AT[9]! + 1, 6, 10],
    [undefined, AT[2], 0, 2],
    [AT[28], undefined, 28, 30],
    [AT[5], AT[5], 5, 5],
    [AT[9], AT[5], 0, 0],
    [-1e15, 1e14, 0, 30],
  ])('has those from %p on and before %p', async (from, to, first, end) => {
    for (const limit of [2, 50]) {
      const { ids } = await all({ of: { owner_id: OWNER }, limit, from, to });
      expect(ids).toEqual(newestFirst(recorded.slice(first, end)));
    }
  });

  it('ends a page before its events become too large to answer with', async () => {
    const big = aKey({
      owner_id: 'team-big',
      metadata: Object.fromEntries(Array.from({ length: 50 }, (_, i) => [`n${i}`, 'x'.repeat(500)])),
    });
    for (let count = 0; count < 70; count++) {
      const event = keyEvent('api_key.updated', big, by(NOW + count), { id: newEventId(NOW + count) });
      await transact(engine.table, [putEvent(event, engine.table)]);
    }
    const { ids, sizes } = await all({ of: { subject_id: big.id }, limit: 100 });
    expect(new Set(ids).size).toBe(70);
    expect(ids).toHaveLength(70);
    expect(sizes.length).toBeGreaterThanOrEqual(2);
  });
});
