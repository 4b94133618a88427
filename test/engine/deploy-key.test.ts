import { createHash, randomUUID } from 'node:crypto';
import { DeleteCommand } from '@aws-sdk/lib-dynamodb';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { CloudFormationCustomResourceEvent } from 'aws-lambda';
import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid } from '../../lib/api-key.ts';
import { deployKey } from '../../lib/deploy-key.ts';
import { deploymentId } from '../../lib/deployed-key.ts';
import { systemOrigin } from '../../lib/event.ts';
import { factsOfItem } from '../../lib/key-item.ts';
import { getKey, markFirstUse, revokeKey, rotateKey } from '../../lib/key-table.ts';
import type { KeyTable } from '../../lib/table-client.ts';
import { brokenCalls, managedSecrets, SECRET } from '../lib/managed-secrets.ts';
import { type Engine, startEngine } from './engine.ts';
import { by, DAY, everything, HOUR, instant, NOW, RETENTION_DAYS, rotating, SETTINGS } from './keys.ts';

let engine: Engine;
beforeAll(async () => {
  engine = await startEngine();
});
afterAll(() => engine?.close());

type Asked = { RequestType: 'Create' | 'Update' | 'Delete'; old?: object; physicalId?: string };

/** One resource of a stack, its owner, and its secret. */
function resource({ owner = `team-${randomUUID()}`, admin = false } = {}) {
  const calls = brokenCalls();
  const { secrets, call, valueIn } = managedSecrets(calls.through, owner);
  const table = {
    ...engine.table,
    client: {
      send: (command: never) => calls.through<unknown>(async () => engine.table.client.send(command)),
    },
  } as unknown as KeyTable;
  const world = {
    secrets,
    settings: { ...SETTINGS, key_prefix: 'rk' },
    rules: {
      admin_secret_arn: admin ? SECRET : 'arn:aws:secretsmanager:us-east-1:000000000000:secret:Admin',
      deployable: admin ? {} : { [owner]: ['orders:*'] },
    },
    table,
  };
  const StackId = `arn:aws:cloudformation:us-east-1:000000000000:stack/Shop/${randomUUID()}`;
  const base = {
    SecretArn: SECRET,
    OwnerId: owner,
    Name: 'A key',
    Scopes: '["orders:read"]',
    EveryDays: '30',
  };
  const ask = ({ RequestType, old, physicalId = 'nothing' }: Asked, properties: object = {}, now = NOW) => {
    const event = {
      ...{ RequestType, StackId, RequestId: randomUUID(), LogicalResourceId: 'Key' },
      ...(RequestType !== 'Create' && { PhysicalResourceId: physicalId }),
      ResourceProperties: { ServiceToken: 'arn', ...base, ...properties },
      ...(RequestType === 'Update' && { OldResourceProperties: { ServiceToken: 'arn', ...base, ...old } }),
    } as unknown as CloudFormationCustomResourceEvent;
    return deployKey(event, systemOrigin('deploy-key', now, 'request-1'), world);
  };
  const keys = async (): Promise<ApiKeyRecord[]> =>
    (await everything(engine.table))
      .map(factsOfItem)
      .filter(
        (item): item is ApiKeyRecord & Record<string, unknown> =>
          item['sk'] === 'api_key' && item['owner_id'] === owner,
      );
  const living = async (now = NOW) => (await keys()).filter((key) => isValid(key, now));
  const deployments = async () =>
    (await everything(engine.table)).filter((item) => item['stack_id'] === StackId);
  const current = async (): Promise<ApiKeyRecord> => {
    const value = (await valueIn('AWSCURRENT'))!;
    const record = (await getKey(value.key_id, engine.table))!;
    expect(createHash('sha256').update(value.key).digest('hex')).toBe(record.digest);
    expect(value.expires_at).toBe(record.expires_at);
    return record;
  };
  const rotate = (record: ApiKeyRecord, now = NOW + HOUR) =>
    rotateKey(record, rotating({}, now), by(now), undefined, engine.table).then((rotated) => {
      if (rotated === 'taken') throw new Error('there was no claim');
      return rotated;
    });
  return { calls, call, owner, ask, keys, living, deployments, current, rotate, valueIn };
}

describe('a key of a stack', () => {
  it('is made for its owner, and is in its secret as text and nowhere else', async () => {
    const { ask, keys, current, deployments, owner } = resource();
    expect(await ask({ RequestType: 'Create' })).toMatch(/^deployment_[0-9a-f]{64}$/);
    expect(await keys()).toHaveLength(1);
    expect(await current()).toMatchObject({
      owner_id: owner,
      owner_access: 'own',
      name: 'A key',
      scopes: ['orders:read'],
      environment: 'live',
      // Thirty days until it is rotated, and thirty more.
      expires_at: instant(NOW + 60 * DAY),
      created_by: 'system:deploy-key',
    });
    expect(await deployments()).toHaveLength(1);
    expect(JSON.stringify(await everything(engine.table))).not.toMatch(/rk_live_/);
  });

  it('is the administrator’s for the secret of the administrator alone', async () => {
    const { ask, current } = resource({ admin: true });
    await ask({ RequestType: 'Create' }, { Scopes: '["*:*"]' });
    expect(await current()).toMatchObject({ scopes: ['*:*'], owner_access: 'any' });
  });

  it.each<[string, object, string]>([
    [
      'scopes that its owner gets none of',
      { Scopes: '["orders:read","billing:read"]' },
      'get no billing:read',
    ],
    ['every scope', { Scopes: '["*:*"]' }, 'rekey:deployableKeys'],
    ['another owner than the secret’s', { OwnerId: 'team-other' }, 'its tag rekey:owner must say so'],
    ['no scopes', { Scopes: '[]' }, 'Scopes must have at least 1 scope'],
    ['a rhythm beyond the life of keys', { EveryDays: '365' }, 'cannot be rotated every 365 days'],
    ['a rhythm that is none', { EveryDays: 'often' }, 'EveryDays must be a whole number of days'],
  ])('is refused with %s, and nothing is left', async (_, properties, sentence) => {
    const { ask, keys, deployments, valueIn } = resource();
    await expect(ask({ RequestType: 'Create' }, properties)).rejects.toThrow(sentence);
    expect(await ask({ RequestType: 'Delete' }, properties)).toBe('nothing');
    expect([await keys(), await deployments(), await valueIn('AWSCURRENT')]).toEqual([[], [], undefined]);
  });

  it('is made once, however often it is asked for', async () => {
    const { ask, keys, current } = resource();
    const first = await ask({ RequestType: 'Create' });
    const { id, digest } = await current();
    expect(await ask({ RequestType: 'Create' })).toBe(first);
    expect(await keys()).toHaveLength(1);
    expect(await current()).toMatchObject({ id, digest });
  });

  it('is made once by invocations at the same time, and the secret has the text that works', async () => {
    const { ask, keys, current } = resource();
    const created = await Promise.allSettled(Array.from({ length: 4 }, () => ask({ RequestType: 'Create' })));
    expect(created.some(({ status }) => status === 'fulfilled')).toBe(true);
    expect(await keys()).toHaveLength(1);
    await current();
  });

  it('gets other scopes and another name in place, and back again when the deployment is rolled back', async () => {
    const { ask, current } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    const { id, digest } = await current();
    const properties = { Scopes: '["orders:write"]', Name: 'Renamed' };
    expect(await ask({ RequestType: 'Update', physicalId }, properties)).toBe(physicalId);
    expect(await current()).toMatchObject({ id, digest, scopes: ['orders:write'], name: 'Renamed' });
    expect(await ask({ RequestType: 'Update', old: properties, physicalId })).toBe(physicalId);
    expect(await current()).toMatchObject({ id, digest, scopes: ['orders:read'], name: 'A key' });
  });

  it('takes the successor of a rotation that is under way back before it changes, and leaves it when nothing does', async () => {
    const { ask, current, living } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    const { id } = await current();
    const decide = rotating({ grace_starts: 'first_use' });
    await rotateKey(await current(), decide, by(), undefined, engine.table);
    await ask({ RequestType: 'Update', physicalId }, {}, NOW + 2 * HOUR);
    expect(await living(NOW + 2 * HOUR)).toHaveLength(2);
    await ask({ RequestType: 'Update', physicalId }, { Scopes: '["orders:write"]' }, NOW + 2 * HOUR);
    expect(await living(NOW + 2 * HOUR)).toMatchObject([{ id, scopes: ['orders:write'] }]);
    expect((await current()).id).toBe(id);
  });

  it('gets as much life as another rhythm needs', async () => {
    const { ask, keys } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    await ask({ RequestType: 'Update', physicalId }, { EveryDays: '90' });
    expect(await keys()).toMatchObject([{ expires_at: instant(NOW + 180 * DAY) }]);
  });

  it('does not change to another secret: that is another resource', async () => {
    const { ask, current } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    await expect(
      ask({ RequestType: 'Update', physicalId }, { SecretArn: `${SECRET}-other` }),
    ).rejects.toThrow();
    await current();
  });

  it('whose line has ended begins a new one with the next deployment', async () => {
    const { ask, current, living } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    const first = await current();
    await revokeKey(first, { reason: 'leaked', retention_days: RETENTION_DAYS }, by(), engine.table);
    await ask({ RequestType: 'Update', physicalId }, { Name: 'Again' });
    expect((await current()).id).not.toBe(first.id);
    expect(await living()).toHaveLength(1);
    await ask({ RequestType: 'Delete', physicalId });
    expect(await living()).toHaveLength(0);
  });
});

describe('the deletion of a key of a stack', () => {
  it('revokes its whole line, and is done once', async () => {
    const { ask, current, keys, living, rotate, deployments } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    let record = await current();
    for (let times = 1; times <= 3; times++) {
      await markFirstUse(record, record.digest, by(), SETTINGS, engine.table);
      const seen = (await getKey(record.id, engine.table))!;
      record = (await rotate(seen, NOW + times * HOUR)).successor;
    }
    expect(await living()).toHaveLength(4);
    for (let times = 1; times <= 2; times++)
      expect(await ask({ RequestType: 'Delete', physicalId })).toBe(physicalId);
    expect(await living()).toEqual([]);
    expect(await deployments()).toEqual([]);
    for (const { revoked_reason } of await keys())
      expect(revoked_reason).toBe('deleted from its CloudFormation stack');
  });

  it('also ends a line whose first records were tidied away', async () => {
    const { ask, current, living, rotate } = resource();
    const physicalId = await ask({ RequestType: 'Create' });
    const root = await current();
    const { successor } = await rotate(root);
    await engine.table.client.send(
      new DeleteCommand({ TableName: engine.table.tableName, Key: { pk: root.id, sk: 'api_key' } }),
    );
    await ask({ RequestType: 'Delete', physicalId });
    expect((await getKey(successor.id, engine.table))!.revoked_at).not.toBeNull();
    expect(await living()).toEqual([]);
  });

  it('leaves another resource of the same stack alone', async () => {
    const one = resource();
    const other = resource();
    const physicalId = await one.ask({ RequestType: 'Create' });
    await other.ask({ RequestType: 'Create' });
    await one.ask({ RequestType: 'Delete', physicalId });
    expect(await other.living()).toHaveLength(1);
  });

  it('is of what the stack and the logical id say, whatever the physical id is', () => {
    const event = (more: object) =>
      ({ StackId: 'a', LogicalResourceId: 'b', ...more }) as CloudFormationCustomResourceEvent;
    expect(deploymentId(event({ PhysicalResourceId: 'x' }))).toBe(deploymentId(event({})));
    expect(deploymentId(event({ LogicalResourceId: 'c' }))).not.toBe(deploymentId(event({})));
    expect(deploymentId(event({ StackId: 'a\nb' }))).not.toBe(deploymentId(event({})));
  });
});

describe('a crash while a key of a stack', () => {
  /** More calls than any of these requests makes. */
  const CALLS = 14;

  it.each(['before', 'after'] as const)(
    'is made, %s any call: the retry makes it, and a rollback leaves no orphan',
    async (fault) => {
      let met = 0;
      for (let nth = 1; nth <= CALLS; nth++) {
        const { calls, ask, keys, living, current, deployments } = resource();
        calls.break(nth, fault);
        const failed = await ask({ RequestType: 'Create' }).then(
          () => false,
          () => true,
        );
        calls.break(0, fault);
        if (failed) {
          met += 1;
          // Half of the time Lambda tries again, else CloudFormation gives it up.
          if (nth % 2 === 0) {
            await ask({ RequestType: 'Create' });
            expect(await keys()).toHaveLength(1);
            await current();
          }
        }
        await ask({ RequestType: 'Delete' });
        expect([await living(), await deployments()]).toEqual([[], []]);
      }
      expect(met).toBeGreaterThanOrEqual(4);
      expect(met).toBeLessThan(CALLS);
    },
  );

  it.each(['before', 'after'] as const)('is deleted, %s any call: the retry ends the line', async (fault) => {
    let met = 0;
    for (let nth = 1; nth <= CALLS; nth++) {
      const { calls, ask, living, current, deployments, rotate } = resource();
      const physicalId = await ask({ RequestType: 'Create' });
      await rotate(await current());
      calls.break(nth, fault);
      const failed = await ask({ RequestType: 'Delete', physicalId }).then(
        () => false,
        () => true,
      );
      calls.break(0, fault);
      if (failed) {
        met += 1;
        await ask({ RequestType: 'Delete', physicalId });
      }
      expect([await living(), await deployments()]).toEqual([[], []]);
    }
    expect(met).toBeGreaterThanOrEqual(6);
    expect(met).toBeLessThan(CALLS);
  });

  it('is deleted and rotated at the same moment ends the successor as well', async () => {
    for (let times = 1; times <= 10; times++) {
      const { ask, living, current, rotate } = resource();
      const physicalId = await ask({ RequestType: 'Create' });
      const record = await current();
      await Promise.allSettled([ask({ RequestType: 'Delete', physicalId }), rotate(record)]);
      expect(await living()).toEqual([]);
    }
  });
});
