import { describe, expect, it } from '@jest/globals';
import { Webhook } from 'standardwebhooks';
import { endpointSecret, signingSecrets } from '../../lib/webhook-secret.ts';
import { signedHeaders } from '../../lib/webhook-signature.ts';
import { anEndpoint } from './webhook-records.ts';

const ROOT = 'r'.repeat(64);
const body = JSON.stringify({ id: 'evt_1', name: 'Bücher ☕' });
const HOUR = 3_600_000;
/** Made by another implementation of HKDF. Receivers have such secrets: if they change, every signature is refused. */
const KNOWN = 'whsec_zhWnYdUX210WwKh4BvMHGzNbb5SvO3UmAL31xWoYCF4=';

describe('the secret of an endpoint', () => {
  it('is whsec_ and 32 bytes in base64, another one for each endpoint, version and root', () => {
    const text = (root: string, id: string, version: number) => endpointSecret(root, id, version).reveal();
    const secrets = [
      text(ROOT, 'whe_a', 1),
      text(ROOT, 'whe_a', 2),
      text(ROOT, 'whe_b', 1),
      text(`${ROOT}.`, 'whe_a', 1),
      text(ROOT, 'whe_a', 12),
    ];
    expect(new Set(secrets).size).toBe(secrets.length);
    for (const secret of secrets) {
      expect(secret).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/);
    }
    expect(text(ROOT, 'whe_a', 1)).toBe(secrets[0]);
  });

  it('does not change from one release to the next', () => {
    expect(endpointSecret(ROOT, 'whe_0123456789abcdefghijkl', 1).reveal()).toBe(KNOWN);
  });

  it('shows in no log', () => {
    const secret = endpointSecret(ROOT, 'whe_a', 1);
    expect(`${secret} ${JSON.stringify({ secret })}`).not.toContain('whsec_');
  });
});

describe('a signature', () => {
  it('is verified by the published library, with the secret and nothing else', () => {
    const secret = endpointSecret(ROOT, 'whe_a', 1);
    const headers = signedHeaders('evt_1', Date.now(), body, [secret]);
    expect(new Webhook(secret.reveal()).verify(body, headers)).toEqual(JSON.parse(body));
    const other = new Webhook(endpointSecret(ROOT, 'whe_a', 2).reveal());
    expect(() => other.verify(body, headers)).toThrow('No matching signature');
    const right = new Webhook(secret.reveal());
    expect(() => right.verify(`${body} `, headers)).toThrow('No matching signature');
    expect(() => right.verify(body, { ...headers, 'webhook-id': 'evt_2' })).toThrow('No matching signature');
    const late = signedHeaders('evt_1', Date.now() - 10 * 60_000, body, [secret]);
    expect(() => right.verify(body, late)).toThrow('too old');
  });

  it('comes from both secrets during the grace, and from the new one alone after it', () => {
    const now = Date.now();
    const previous_secret_until = new Date(now + HOUR).toISOString();
    const endpoint = anEndpoint({ secret_version: 3, oldest_secret_version: 2, previous_secret_until });
    const verifies = (version: number, at: number) => {
      const headers = signedHeaders('evt_1', at, body, signingSecrets(ROOT, endpoint, at));
      try {
        new Webhook(endpointSecret(ROOT, endpoint.id, version).reveal()).verify(body, {
          ...headers,
          // The library looks at its own clock.
          'webhook-timestamp': headers['webhook-timestamp']!,
        });
        return true;
      } catch (error) {
        expect(String(error)).toContain('No matching signature');
        return false;
      }
    };
    expect([1, 2, 3].map((version) => verifies(version, now))).toEqual([false, true, true]);
    const signatures = signingSecrets(ROOT, endpoint, now + HOUR);
    expect(signatures).toHaveLength(1);
    expect(signatures[0]!.reveal()).toBe(endpointSecret(ROOT, endpoint.id, 3).reveal());
  });
});
