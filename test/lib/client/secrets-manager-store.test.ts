import { describe, expect, it } from '@jest/globals';
import { type SecretsManagerOperation, secretsManagerStore } from 'rekey/client';

const FIRST = 'rk_live_first000';

/** One secret as AWS keeps it: versions, and labels that are each on one of them. */
const secret = (text = JSON.stringify({ key: FIRST })) => {
  const versions = new Map([['v1', text]]);
  const labels = new Map([['AWSCURRENT', 'v1']]);
  const sent: [SecretsManagerOperation, Record<string, unknown>][] = [];
  let versionIds = 1;
  const send = async (operation: SecretsManagerOperation, input: Record<string, unknown>) => {
    sent.push([operation, input]);
    if (operation === 'GetSecretValue') {
      const VersionId = labels.get('AWSCURRENT')!;
      return { VersionId, SecretString: versions.get(VersionId) };
    }
    if (operation === 'PutSecretValue') {
      versions.set(String(input['ClientRequestToken']), String(input['SecretString']));
      for (const label of input['VersionStages'] as string[])
        labels.set(label, String(input['ClientRequestToken']));
      return {};
    }
    if (labels.get(String(input['VersionStage'])) !== input['RemoveFromVersionId'])
      throw Object.assign(new Error('the label is not on that version'), {
        name: 'InvalidParameterException',
      });
    labels.set(String(input['VersionStage']), String(input['MoveToVersionId']));
    return {};
  };
  const store = () =>
    secretsManagerStore({ secretId: 'orders/rekey', send, newVersionId: () => `v${++versionIds}` });
  return { send, sent, labels, versions, store };
};

describe('a key in a secret', () => {
  it('is the current version, as JSON or by itself', async () => {
    expect(await secret().store().read()).toEqual({ key: FIRST, version: 'v1' });
    expect(await secret(FIRST).store().read()).toEqual({ key: FIRST, version: 'v1' });
  });

  it('is replaced by moving AWSCURRENT from the version that was seen', async () => {
    const { store, sent } = secret();
    const seen = await store().read();
    expect(await store().write({ key: 'rk_live_second00', previous_key: FIRST }, seen)).toBe(true);
    expect(sent.slice(1)).toEqual([
      [
        'PutSecretValue',
        {
          SecretId: 'orders/rekey',
          ClientRequestToken: 'v2',
          SecretString: '{"key":"rk_live_second00","previous_key":"rk_live_first000"}',
          VersionStages: ['REKEY_NEXT'],
        },
      ],
      [
        'UpdateSecretVersionStage',
        {
          SecretId: 'orders/rekey',
          VersionStage: 'AWSCURRENT',
          MoveToVersionId: 'v2',
          RemoveFromVersionId: 'v1',
        },
      ],
    ]);
    expect(await store().read()).toEqual({ key: 'rk_live_second00', previous_key: FIRST, version: 'v2' });
  });

  it('of two who saw the same is replaced by one', async () => {
    const { store } = secret();
    const seen = await store().read();
    const written = await Promise.all(
      ['rk_live_a0000000', 'rk_live_b0000000'].map((key) =>
        store().write({ key, previous_key: FIRST }, seen),
      ),
    );
    expect(written.toSorted()).toEqual([false, true]);
  });

  it('was replaced, also when AWS says so only to a second try', async () => {
    const { send, labels } = secret();
    const store = secretsManagerStore({
      secretId: 's',
      newVersionId: () => 'v2',
      send: async (operation, input) => {
        // The first answer was lost, and the SDK sent it again.
        if (operation === 'UpdateSecretVersionStage') labels.set('AWSCURRENT', 'v2');
        return send(operation, input);
      },
    });
    expect(
      await store.write({ key: 'rk_live_second00', previous_key: FIRST }, { key: FIRST, version: 'v1' }),
    ).toBe(true);
  });

  it('hands on what AWS refuses', async () => {
    const { send, store } = secret();
    const denied = async (operation: SecretsManagerOperation, input: Record<string, unknown>) => {
      if (operation !== 'GetSecretValue')
        throw Object.assign(new Error('no'), { name: 'AccessDeniedException' });
      return send(operation, input);
    };
    const refused = secretsManagerStore({ secretId: 's', send: denied });
    await expect(
      refused.write({ key: 'rk_live_second00', previous_key: FIRST }, await store().read()),
    ).rejects.toThrow('no');
  });

  it.each(['', '{"key":null}', 'two words'])(
    'that is none is an error that does not repeat it: %j',
    async (text) => {
      await expect(secret(text).store().read()).rejects.toThrow(/no API key in the store/);
    },
  );
});
