import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import type { AwsCall, Json } from '../../local/aws-front.ts';
import { type Clock, openClock } from '../../local/clock.ts';
import { identityOf } from '../../local/identity.ts';
import type { DeployedResource } from '../../local/resource.ts';
import { type SecretsManager, startSecretsManager } from '../../local/secrets-manager/index.ts';
import { scheduleOf } from '../../local/secrets-manager/rotation.ts';
import { temporaryDirectory, world } from './fixtures/assembly.ts';

const FUNCTION = 'arn:aws:lambda:us-east-1:000000000000:function:Shop-Rotate';
const DAY = 86_400;
const resource = (logicalId: string, type: string, properties: Record<string, unknown>): DeployedResource => {
  const named = { stack: 'Shop', logicalId, type, properties };
  return { ...named, ...identityOf(named, world)! };
};
const secret = resource('Key', 'AWS::SecretsManager::Secret', { SecretString: 'first' });
const schedule = (more: Record<string, unknown> = {}) =>
  resource('Rotation', 'AWS::SecretsManager::RotationSchedule', {
    SecretId: secret.ref,
    RotationLambdaARN: FUNCTION,
    RotationRules: { ScheduleExpression: 'rate(30 days)' },
    ...more,
  });

interface StepEvent {
  Step: string;
  SecretId: string;
  ClientRequestToken: string;
  RotationToken: string;
}

let stateDir: string;
let clock: Clock;
let manager: SecretsManager;
let steps: StepEvent[];
let lines: string[];
let mayInvoke: boolean;
let fails: (event: StepEvent) => boolean;
let made: number;

const call = (operation: string, input: Json = {}) =>
  manager.handle({
    service: 'secretsmanager',
    operation,
    input: { SecretId: secret.ref, ...input },
  } as unknown as AwsCall) as Promise<Record<string, never>>;
const textOf = async (VersionStage: string) =>
  (await call('GetSecretValue', { VersionStage })).SecretString as unknown;
const labels = async () =>
  (await call('DescribeSecret')).VersionIdsToStages as unknown as Record<string, string[]>;

/** As AWS's template of a rotation function does it. */
async function rotationFunction(event: StepEvent): Promise<void> {
  const { Step, ClientRequestToken } = event;
  expect((await labels())[ClientRequestToken]).toContain('AWSPENDING');
  if (Step === 'createSecret') {
    const has = await call('GetSecretValue', {
      VersionId: ClientRequestToken,
      VersionStage: 'AWSPENDING',
    }).catch((error: { code: string }) => error.code);
    if (has !== 'ResourceNotFoundException') return;
    made += 1;
    await call('PutSecretValue', {
      ClientRequestToken,
      SecretString: `made-${made}`,
      VersionStages: ['AWSPENDING'],
    });
  }
  if (Step === 'testSecret') await call('GetSecretValue', { VersionStage: 'AWSPENDING' });
  if (Step === 'finishSecret') {
    const current = Object.entries(await labels()).find(([, stages]) => stages.includes('AWSCURRENT'))![0];
    if (current === ClientRequestToken) return;
    await call('UpdateSecretVersionStage', {
      VersionStage: 'AWSCURRENT',
      MoveToVersionId: ClientRequestToken,
      RemoveFromVersionId: current,
    });
  }
}

function start(rotation?: DeployedResource): void {
  clock = openClock({ stateDir, fresh: false });
  manager = startSecretsManager({
    ...{ resources: [], stateDir, fresh: false, clock, ...world },
    mayInvoke: () => mayInvoke,
    async invoke(_arn, payload) {
      const event = payload as StepEvent;
      steps.push(event);
      if (fails(event)) return { payload: { errorMessage: 'not today' }, functionError: 'Unhandled' };
      await rotationFunction(event);
      return { payload: null };
    },
    log: (line) => lines.push(line),
  });
  manager.add(secret);
  if (rotation) manager.addRotation(rotation);
  manager.start();
}
beforeEach(() => {
  stateDir = temporaryDirectory();
  [steps, lines, mayInvoke, made, fails] = [[], [], true, 0, () => false];
});
afterEach(() => manager.stop());

const settled = async (): Promise<void> => {
  for (let tries = 0, seen = -1; tries < 100 && seen !== steps.length; tries += 1) {
    seen = steps.length;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};

describe('a rotation', () => {
  it('begins with its schedule, and calls the four steps with one token', async () => {
    start(schedule());
    await settled();
    expect(steps.map(({ Step }) => Step)).toEqual([
      'createSecret',
      'setSecret',
      'testSecret',
      'finishSecret',
    ]);
    expect(new Set(steps.map(({ ClientRequestToken }) => ClientRequestToken)).size).toBe(1);
    expect(steps[0]).toMatchObject({ SecretId: secret.ref, RotationToken: expect.any(String) });
    expect([await textOf('AWSCURRENT'), await textOf('AWSPREVIOUS')]).toEqual(['made-1', 'first']);
    expect(await call('DescribeSecret')).toMatchObject({
      RotationEnabled: true,
      RotationLambdaARN: FUNCTION,
      LastRotatedDate: expect.any(Number),
    });
  });

  it('comes again with its schedule, once for all times that a moved clock has skipped', async () => {
    start(schedule());
    await settled();
    clock.advance(29 * DAY);
    await settled();
    expect(await textOf('AWSCURRENT')).toBe('made-1');
    clock.advance(2 * DAY);
    await settled();
    expect(await textOf('AWSCURRENT')).toBe('made-2');
    clock.advance(300 * DAY);
    await settled();
    expect([await textOf('AWSCURRENT'), await textOf('AWSPREVIOUS')]).toEqual(['made-3', 'made-2']);
  });

  it('is counted from a change by hand', async () => {
    start(schedule());
    await settled();
    clock.advance(20 * DAY);
    await call('PutSecretValue', { SecretString: 'by hand' });
    clock.advance(20 * DAY);
    await settled();
    expect(await textOf('AWSCURRENT')).toBe('by hand');
    clock.advance(11 * DAY);
    await settled();
    expect(await textOf('AWSCURRENT')).toBe('made-2');
  });

  it.each(['createSecret', 'setSecret', 'testSecret', 'finishSecret'])(
    'that fails in %s is tried again from its beginning, with its token and its value',
    async (failing) => {
      let failures = 2;
      fails = ({ Step }) => Step === failing && failures-- > 0;
      start(schedule());
      await settled();
      expect(await textOf('AWSCURRENT')).toBe('first');
      for (let times = 0; times < 3; times += 1) {
        clock.advance(1_000);
        await settled();
      }
      expect(await textOf('AWSCURRENT')).toBe('made-1');
      expect(new Set(steps.map(({ ClientRequestToken }) => ClientRequestToken)).size).toBe(1);
      expect(lines.join()).toContain(`${failing}: not today`);
    },
  );

  it('that keeps failing leaves the current value, is given up, and goes on with the next time', async () => {
    fails = ({ Step }) => Step === 'testSecret';
    start(schedule());
    for (let times = 0; times < 8; times += 1) {
      await settled();
      clock.advance(1_000);
    }
    expect(steps.filter(({ Step }) => Step === 'createSecret')).toHaveLength(5);
    expect(await textOf('AWSCURRENT')).toBe('first');
    await expect(call('RotateSecret')).rejects.toMatchObject({ code: 'InvalidRequestException' });
    fails = () => false;
    clock.advance(31 * DAY);
    await settled();
    expect([await textOf('AWSCURRENT'), made]).toEqual(['made-1', 1]);
  });

  it('that was under way goes on after a restart', async () => {
    fails = ({ Step }) => Step === 'finishSecret';
    start(schedule());
    await settled();
    await manager.stop();
    fails = () => false;
    start(schedule());
    clock.advance(60);
    await settled();
    expect(await textOf('AWSCURRENT')).toBe('made-1');
  });

  it('is not begun by a restart', async () => {
    start(schedule());
    await settled();
    await manager.stop();
    start(schedule());
    await settled();
    expect(steps).toHaveLength(4);
  });

  it('waits for its time when it is told not to begin at once; only the test step runs', async () => {
    start(schedule({ RotateImmediatelyOnUpdate: false }));
    await settled();
    expect(steps.map(({ Step }) => Step)).toEqual(['testSecret']);
    expect(Object.values(await labels())).toEqual([['AWSCURRENT']]);
    clock.advance(31 * DAY);
    await settled();
    expect(await textOf('AWSCURRENT')).toBe('made-1');
  });

  it('needs the permission of its function', async () => {
    mayInvoke = false;
    start(schedule());
    await settled();
    expect(steps).toHaveLength(0);
    expect(lines.join()).toContain('secretsmanager.amazonaws.com');
  });

  it('is started by RotateSecret, which names the version that it makes', async () => {
    start(schedule());
    await settled();
    const { VersionId } = await call('RotateSecret');
    await settled();
    expect((await labels())[VersionId as unknown as string]).toContain('AWSCURRENT');
    expect(await textOf('AWSCURRENT')).toBe('made-2');
  });

  it('is not there without a function', async () => {
    start();
    await expect(call('RotateSecret')).rejects.toMatchObject({ code: 'InvalidRequestException' });
    expect(() => manager.addRotation(schedule({ SecretId: 'other' }))).toThrow('there is no secret other');
    expect(() => manager.addRotation(schedule({ RotationLambdaARN: undefined }))).toThrow(
      'RotationLambdaARN',
    );
  });

  it.each([
    { ScheduleExpression: 'rate(3 hours)' },
    { ScheduleExpression: 'rate(1000 days)' },
    { ScheduleExpression: 'cron(5 0 1 * ? *)' },
    { ScheduleExpression: 'cron(0 0 1 * ? 2027)' },
    { ScheduleExpression: 'soon' },
    { ScheduleExpression: 'rate(1 day)', AutomaticallyAfterDays: 1 },
  ])('can’t have the rules %j', (rules) => {
    expect(() => scheduleOf(rules)).toThrow();
  });

  it.each([
    { ScheduleExpression: 'rate(4 hours)' },
    { ScheduleExpression: 'rate(999 days)' },
    { ScheduleExpression: 'cron(0 0/8 * * ? *)' },
    { AutomaticallyAfterDays: 1 },
  ])('can have the rules %j', (rules) => {
    expect(scheduleOf(rules)).toBeDefined();
  });
});

describe('a secret made by a call', () => {
  beforeEach(() => start());
  const create = (input: Json) => call('CreateSecret', input);

  it('is found by its name, once', async () => {
    const { ARN } = await create({ Name: 'orders/key', SecretString: 'x' });
    expect(ARN).toMatch(/:secret:orders\/key-[A-Za-z0-9]{6}$/);
    expect(await call('GetSecretValue', { SecretId: 'orders/key' })).toMatchObject({
      SecretString: 'x',
      ARN,
    });
    await expect(create({ Name: 'orders/key' })).rejects.toMatchObject({ code: 'ResourceExistsException' });
    expect((await call('ListSecretVersionIds', { SecretId: 'orders/key' })).Versions).toHaveLength(1);
  });

  it('can be restored until it is gone', async () => {
    await create({ Name: 'a', SecretString: 'x' });
    await call('DeleteSecret', { SecretId: 'a', RecoveryWindowInDays: 7 });
    await expect(call('GetSecretValue', { SecretId: 'a' })).rejects.toMatchObject({
      code: 'InvalidRequestException',
    });
    await expect(create({ Name: 'a' })).rejects.toMatchObject({ code: 'InvalidRequestException' });
    await call('RestoreSecret', { SecretId: 'a' });
    expect(await call('GetSecretValue', { SecretId: 'a' })).toMatchObject({ SecretString: 'x' });
    await call('DeleteSecret', { SecretId: 'a', RecoveryWindowInDays: 7 });
    clock.advance(8 * DAY);
    await expect(call('RestoreSecret', { SecretId: 'a' })).rejects.toMatchObject({
      code: 'ResourceNotFoundException',
    });
  });

  it('goes at once when it is forced', async () => {
    await create({ Name: 'a', SecretString: 'x' });
    await call('DeleteSecret', { SecretId: 'a', ForceDeleteWithoutRecovery: true });
    await expect(call('DescribeSecret', { SecretId: 'a' })).rejects.toMatchObject({
      code: 'ResourceNotFoundException',
    });
  });
});
