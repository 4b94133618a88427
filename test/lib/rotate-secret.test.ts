import { randomUUID } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { type KeyState, managementOf } from '../../lib/client/management.ts';
import { graceHours, type RotationStep, rotateSecret } from '../../lib/rotate-secret.ts';
import { lineOfKeys } from './client/line-of-keys.ts';
import { brokenCalls, managedSecrets, SECRET } from './managed-secrets.ts';

const STEPS = ['createSecret', 'setSecret', 'testSecret', 'finishSecret'] as const;
const MOST_ATTEMPTS = 5;

async function setting(rotation: KeyState['rotation'] = null) {
  const calls = brokenCalls();
  const line = lineOfKeys({ rotation });
  const { secrets, call, valueIn } = managedSecrets(calls.through);
  const { text: key, id: key_id, expires_at } = line.keys[0]!;
  await call('PutSecretValue', { SecretString: JSON.stringify({ key, key_id, expires_at }) });
  const management = managementOf('https://management.test/v1', ((input: string, init: RequestInit) =>
    calls.through(() => line.send(input, init))) as typeof fetch);
  /** How often the next version is not to be found yet: Secrets Manager is eventually consistent. */
  let hidden = 0;
  const world = {
    secrets: {
      ...secrets,
      read: (...asked: Parameters<typeof secrets.read>) =>
        asked[1]?.VersionStage === 'AWSPENDING' && hidden-- > 0
          ? Promise.resolve(undefined)
          : secrets.read(...asked),
    },
    management,
    pauses: [1, 1],
  };

  /** As Secrets Manager begins a rotation: its version is there, with AWSPENDING and without a value. */
  const begin = async (): Promise<string> => {
    const version = randomUUID();
    await call('CancelRotateSecret', {});
    await call('RotateSecret', {
      ClientRequestToken: version,
      RotationLambdaARN: 'arn:aws:lambda:us-east-1:000000000000:function:Rotate',
      RotationRules: { AutomaticallyAfterDays: 30 },
    });
    return version;
  };
  const step = (Step: RotationStep['Step'], version: string) =>
    rotateSecret({ Step, SecretId: SECRET, ClientRequestToken: version }, world);
  const expectCurrentToWork = async (): Promise<void> => {
    const current = await valueIn('AWSCURRENT');
    const known = line.keys.find(({ text }) => text === current?.key);
    expect(known).toMatchObject({ id: current?.key_id, revoked: false });
  };
  /** All steps until none fails, as Secrets Manager does it. */
  const rotate = async (version: string): Promise<void> => {
    for (let attempts = 1; ; attempts++) {
      try {
        for (const Step of STEPS) await step(Step, version);
        return;
      } catch (error) {
        await expectCurrentToWork();
        if (attempts === MOST_ATTEMPTS) throw error;
      }
    }
  };
  const hidePending = (looks: number): void => {
    hidden = looks;
  };
  return { calls, line, call, valueIn, begin, step, rotate, expectCurrentToWork, hidePending };
}

describe('the rotation of a secret', () => {
  it('puts the successor of the key into AWSCURRENT, and leaves the key before it in AWSPREVIOUS', async () => {
    const { line, begin, rotate, valueIn } = await setting();
    await rotate(await begin());
    expect(line.keys).toHaveLength(2);
    expect(await valueIn('AWSCURRENT')).toEqual({
      key: line.keys[1]!.text,
      key_id: line.keys[1]!.id,
      expires_at: line.keys[1]!.expires_at,
    });
    expect((await valueIn('AWSPREVIOUS'))?.key_id).toBe(line.keys[0]!.id);
  });

  it('asks for a grace that starts when the new key is used, so that a lost one costs nothing', async () => {
    const { line, begin, step } = await setting();
    await step('createSecret', await begin());
    const { body } = line.requests.find(({ url }) => url.endsWith('/rotate'))!;
    expect(JSON.parse(String(body))).toEqual({
      grace_period_hours: 168,
      grace_starts: 'first_use',
      replace_pending: true,
    });
  });

  it('asks for the grace of the plan that the key is delivered by', async () => {
    const { line, begin, step } = await setting({
      every_days: 10,
      grace_period_hours: 48,
      deliver: { secrets_manager: { secret_id: SECRET } },
    });
    await step('createSecret', await begin());
    const { body } = line.requests.find(({ url }) => url.endsWith('/rotate'))!;
    expect(JSON.parse(String(body))).toMatchObject({ grace_period_hours: 48 });
  });

  it('is repeated with every key that it made', async () => {
    const { line, begin, rotate, valueIn } = await setting();
    for (let times = 1; times <= 5; times++) {
      await rotate(await begin());
      expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[times]!.id);
    }
  });

  it('has called the API with the new key before it is the current one', async () => {
    const { line, begin, step } = await setting();
    const version = await begin();
    await step('createSecret', version);
    expect(line.keys[1]!.used).toBe(false);
    await step('testSecret', version);
    expect(line.keys[1]!.used).toBe(true);
  });

  it('makes no key current that does not work, though testSecret was left out', async () => {
    const { line, begin, step, valueIn, expectCurrentToWork } = await setting();
    const version = await begin();
    await step('createSecret', version);
    line.keys[1]!.revoked = true;
    await expect(step('finishSecret', version)).rejects.toThrow('does not work');
    expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[0]!.id);
    await expectCurrentToWork();
  });

  it('is nothing to do for a step that comes again once all is done', async () => {
    const { line, begin, step, rotate, valueIn } = await setting();
    const version = await begin();
    await rotate(version);
    const before = line.requests.length;
    for (const Step of STEPS) await step(Step, version);
    expect(line.requests).toHaveLength(before);
    expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[1]!.id);
  });

  it('waits for a version that is not readable yet', async () => {
    const { begin, step, line, hidePending } = await setting();
    const version = await begin();
    await step('createSecret', version);
    hidePending(2);
    await step('testSecret', version);
    expect(line.keys[1]!.used).toBe(true);
  });

  it('gives a version up for this try that stays unreadable', async () => {
    const { begin, step, line, hidePending } = await setting();
    const version = await begin();
    await step('createSecret', version);
    hidePending(3);
    await expect(step('testSecret', version)).rejects.toThrow('has no value in AWSPENDING yet');
    expect(line.keys[1]!.used).toBe(false);
  });

  it('is refused for a version that no rotation has begun', async () => {
    const { step, line } = await setting();
    await expect(step('createSecret', randomUUID())).rejects.toThrow('does not have AWSPENDING');
    expect(line.keys).toHaveLength(1);
  });

  it('says so when the current key does not work any more', async () => {
    const { line, begin, step } = await setting();
    line.keys[0]!.revoked = true;
    await expect(step('createSecret', await begin())).rejects.toThrow('the key in AWSCURRENT does not work');
  });

  it('does not repeat a value that is no key of Rekey', async () => {
    const { call, begin, step } = await setting();
    await call('PutSecretValue', { SecretString: 'not-json-but-secret' });
    await expect(step('createSecret', await begin())).rejects.toThrow(
      'the secret does not hold {"key", "key_id", "expires_at"} as Rekey writes it',
    );
  });

  it('goes on with the key of an earlier one that was tested and given up', async () => {
    const { line, call, begin, step, rotate, valueIn } = await setting();
    const first = await begin();
    await step('createSecret', first);
    await step('testSecret', first);
    await call('UpdateSecretVersionStage', { VersionStage: 'AWSPENDING', RemoveFromVersionId: first });
    const second = await begin();
    expect(second).not.toBe(first);
    await rotate(second);
    expect(line.keys).toHaveLength(2);
    expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[1]!.id);
  });
});

describe('a key that was made and lost', () => {
  it('makes room for another in the next rotation, and the current one works until then', async () => {
    const { line, call, calls, begin, step, rotate, valueIn, expectCurrentToWork } = await setting();
    const first = await begin();
    // The description, two readings, the key itself, the rotation, and then the writing that never happens.
    calls.break(6, 'before');
    await expect(step('createSecret', first)).rejects.toThrow('ended before the call');
    calls.break(0, 'before');
    expect(line.keys).toHaveLength(2);
    await call('UpdateSecretVersionStage', { VersionStage: 'AWSPENDING', RemoveFromVersionId: first });
    await expectCurrentToWork();
    await rotate(await begin());
    expect(line.keys.map(({ revoked }) => revoked)).toEqual([false, true, false]);
    expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[2]!.id);
  });

  it('because two invocations wrote at the same time is found by the test, and by no reader of AWSCURRENT', async () => {
    const { line, begin, step, rotate, valueIn, expectCurrentToWork } = await setting();
    const version = await begin();
    await step('createSecret', version);
    // The other invocation asked for the same successor, and was too late for the version.
    const pending = await valueIn('AWSPENDING');
    line.keys[1]!.text = 'rk_live_another_secret_of_the_same_key';
    expect(pending?.key).not.toBe(line.keys[1]!.text);
    await expect(step('finishSecret', version)).rejects.toThrow('AWSPENDING was taken away from it');
    await expectCurrentToWork();
    await expect(step('createSecret', version)).rejects.toThrow('does not have AWSPENDING');
    await rotate(await begin());
    await expectCurrentToWork();
    expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[2]!.id);
  });
});

describe('a crash in the rotation', () => {
  /** More than the steps make together. */
  const CALLS = 20;
  const places = Array.from({ length: CALLS }, (_, index) => index + 1);

  it.each(['before', 'after'] as const)(
    '%s any call leaves AWSCURRENT working, and the next try goes through',
    async (fault) => {
      const met: number[] = [];
      for (const nth of places) {
        const { calls, line, begin, rotate, valueIn, expectCurrentToWork } = await setting();
        const version = await begin();
        calls.break(nth, fault);
        await rotate(version);
        if (calls.wasMet()) met.push(nth);
        await expectCurrentToWork();
        expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[1]!.id);
        expect(line.keys).toHaveLength(2);
      }
      // Each of the calls was broken once: 3 to 4 of each step.
      expect(met.length).toBeGreaterThanOrEqual(12);
      expect(met.length).toBeLessThan(CALLS);
    },
  );

  it('and steps in any order never leave a key in AWSCURRENT that does not work', async () => {
    const move = fc.record({
      step: fc.constantFrom(...STEPS),
      crash: fc.option(
        fc.record({ nth: fc.integer({ min: 1, max: 5 }), fault: fc.constantFrom('before', 'after') }),
      ),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { maxLength: 12 }), async (moves) => {
        const { calls, line, begin, step, rotate, valueIn, expectCurrentToWork } = await setting();
        const version = await begin();
        for (const { step: Step, crash } of moves) {
          if (crash) calls.break(crash.nth, crash.fault as 'before' | 'after');
          await step(Step, version).catch(() => undefined);
          calls.break(0, 'before');
          await expectCurrentToWork();
        }
        await rotate(version);
        await expectCurrentToWork();
        expect((await valueIn('AWSCURRENT'))?.key_id).toBe(line.keys[1]!.id);
        expect(line.keys).toHaveLength(2);
      }),
      { numRuns: 200 },
    );
  }, 60_000);
});

describe('the grace of the key before', () => {
  it.each([
    [undefined, 168],
    [365, 168],
    [30, 168],
    [14, 168],
    [7, 84],
    [1, 12],
  ])('with a rotation every %s days is %d hours', (days, hours) => {
    expect(graceHours(days)).toBe(hours);
  });

  const deliver = { secrets_manager: { secret_id: 'orders/rekey' } };
  it.each([
    ['as the plan of its delivery says', { every_days: 20, grace_period_hours: 30, deliver }, 30],
    ['by the plan where that comes more often', { every_days: 2, deliver }, 24],
    ['by the schedule where that comes more often', { every_days: 60, deliver }, 84],
    ['by the schedule for a key whose holder rotates it', { every_days: 2, grace_period_hours: 1 }, 84],
  ])('is %s', (_, plan, hours) => {
    expect(graceHours(7, plan)).toBe(hours);
  });
});
