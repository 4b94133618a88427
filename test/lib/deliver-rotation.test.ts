import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { managementOf } from '../../lib/client/management.ts';
import { DueOnBus, deliverRotation, NotDelivered } from '../../lib/deliver-rotation.ts';
import type { EventType } from '../../lib/event.schema.ts';
import { exampleEvents } from '../../lib/operations/example-event.ts';
import { lineOfKeys } from './client/line-of-keys.ts';
import { managedSecrets, SECRET } from './managed-secrets.ts';

type Told = DueOnBus['detail-type'];
const REQUESTED = 'api_key.rotation_requested' as const;
const REMINDED = 'api_key.rotation_due' as const;

/** A line of two keys, and a secret that holds the first of them, the one that is due. */
async function setting() {
  const line = lineOfKeys();
  line.rotateByHand(0);
  const { secrets, call } = managedSecrets();
  const textOf = (at: number) => {
    const { text: key, id: key_id, expires_at } = line.keys[at]!;
    return JSON.stringify({ key, key_id, expires_at });
  };
  const hold = (SecretString: string, VersionStages = ['AWSCURRENT']) =>
    call('PutSecretValue', { SecretString, VersionStages, ClientRequestToken: randomUUID() });
  await hold(textOf(0));
  /** What Secrets Manager was asked to rotate. */
  const begun: string[] = [];
  const failing: { describe?: string; rotate?: string } = {};
  const failed = (name: string) => Object.assign(new Error(`it is ${name}`), { name });
  const world = {
    secrets: {
      ...secrets,
      describe: async (id: string) => {
        if (failing.describe) throw failed(failing.describe);
        return secrets.describe(id);
      },
      rotate: async (id: string) => {
        if (failing.rotate) throw failed(failing.rotate);
        begun.push(id);
      },
    },
    management: managementOf('https://management.test/v1', line.send),
  };
  const deliver = (type: Told = REQUESTED, secret_id = SECRET, id = line.keys[0]!.id) => {
    const generation = 0;
    const rotation = { deliver: { secrets_manager: { secret_id } } };
    const api_key = { id, root_key_id: id, generation, rotation };
    return deliverRotation({ 'detail-type': type, detail: { data: { api_key } } }, world);
  };
  return { line, call, hold, textOf, deliver, begun, failing };
}

describe('a key that is due, and to be delivered', () => {
  it.each([REQUESTED, REMINDED])('has the secret rotated that holds it, by %s', async (type) => {
    const { deliver, begun } = await setting();
    expect(await deliver(type)).toBe('begun');
    expect(begun).toEqual([SECRET]);
  });

  it('is left to a rotation of the secret that is under way', async () => {
    const { deliver, begun, hold, textOf } = await setting();
    await hold(textOf(1), ['AWSPENDING']);
    expect(await deliver()).toBe('under_way');
    expect(begun).toEqual([]);
  });

  it('is not waiting for a rotation that is done, and left its label', async () => {
    const { deliver, begun, call } = await setting();
    const { VersionIdsToStages } = await call('DescribeSecret', {});
    const [version] = Object.keys(VersionIdsToStages as object);
    await call('UpdateSecretVersionStage', { VersionStage: 'AWSPENDING', MoveToVersionId: version });
    expect(await deliver()).toBe('begun');
    expect(begun).toEqual([SECRET]);
  });

  it('is done when the secret has gone on in its line, however often that is told', async () => {
    const { deliver, begun, hold, textOf } = await setting();
    await hold(textOf(1));
    for (const type of [REQUESTED, REQUESTED, REMINDED]) expect(await deliver(type)).toBe('done');
    expect(begun).toEqual([]);
  });
});

describe('a key that has nowhere to be delivered', () => {
  const refused = async (world: Awaited<ReturnType<typeof setting>>, type: Told = REQUESTED, id = SECRET) => {
    const error = await world.deliver(type, id).catch((error: unknown) => error);
    expect(error).toBeInstanceOf(NotDelivered);
    expect(world.begun).toEqual([]);
    return (error as Error).message;
  };

  it('is not rotated: there is no such secret', async () => {
    expect(await refused(await setting(), REQUESTED, 'another/secret')).toBe(
      'there is no such secret here, or it is not rotated by rotate-secret',
    );
  });

  it('is not rotated: IAM does not let this function at the secret', async () => {
    const world = await setting();
    world.failing.describe = 'AccessDeniedException';
    expect(await refused(world)).toBe('there is no such secret here, or it is not rotated by rotate-secret');
  });

  it('is not rotated: the secret is deleted', async () => {
    const world = await setting();
    await world.call('DeleteSecret', {});
    expect(await refused(world)).toBe('the secret is deleted');
  });

  it('is not rotated: the secret is of another line, and of nobody who asked', async () => {
    const world = await setting();
    const { text: key, expires_at } = world.line.keys[0]!;
    await world.hold(JSON.stringify({ key, key_id: 'key_9999999999999999999999', expires_at }));
    expect(await refused(world)).toBe('the secret holds another key');
  });

  it('is not rotated: the secret holds a key that works, of a line of its own', async () => {
    const world = await setting();
    await world.hold(world.textOf(1));
    const stranger = 'key_9999999999999999999999';
    const error = await world.deliver(REQUESTED, SECRET, stranger).catch((error: unknown) => error);
    expect(error).toEqual(new NotDelivered('the secret holds another key'));
    expect(world.begun).toEqual([]);
  });

  it('is not rotated: the secret holds another key, which does not work', async () => {
    const world = await setting();
    await world.hold(world.textOf(1));
    world.line.keys[1]!.revoked = true;
    expect(await refused(world)).toBe('the secret holds another key');
  });

  it('is not rotated: a rotation of the secret was begun, and not done in a day', async () => {
    const world = await setting();
    await world.hold(world.textOf(1), ['AWSPENDING']);
    expect(await refused(world, REMINDED)).toBe('an earlier rotation of the secret has not been completed');
  });

  it.each(['ThrottlingException', 'AccessDeniedException'])(
    'is tried again at once when RotateSecret fails: %s',
    async (name) => {
      const world = await setting();
      world.failing.rotate = name;
      await expect(world.deliver()).rejects.toThrow(`it is ${name}`);
      await expect(world.deliver()).rejects.not.toBeInstanceOf(NotDelivered);
    },
  );

  it('says nothing of what a secret holds that is no key of Rekey', async () => {
    const world = await setting();
    await world.hold('not-json-but-secret');
    await expect(world.deliver()).rejects.toThrow('the secret does not hold');
    await expect(world.deliver()).rejects.not.toThrow('not-json');
  });
});

describe('what the bus tells', () => {
  const onBus = (type: EventType) => DueOnBus.safeParse({ 'detail-type': type, detail: exampleEvents[type] });

  it('is a delivery for a key with a secret, and none for a key whose holder rotates it', () => {
    expect(onBus(REQUESTED).success).toBe(true);
    expect(onBus(REMINDED).success).toBe(false);
    expect(onBus('api_key.created').success).toBe(false);
  });
});
