import type { KeyState } from '../../../lib/client/management.ts';

/**
 * The management API for one line of keys, as far as a client sees it, and an API that takes any key of the line that
 * works. What counts here is that a repeated rotation gives the same successor another secret until it is used.
 */
export function lineOfKeys({
  now = () => Date.parse('2026-11-24T12:00:00.000Z'),
  days = 30,
  rotation = null as KeyState['rotation'],
} = {}) {
  interface Key {
    id: string;
    text: string;
    created_at: string;
    expires_at: string;
    used: boolean;
    successor: number | undefined;
    /** That of the request which made the successor. */
    idempotencyKey: string | null;
    revoked: boolean;
  }
  const keys: Key[] = [];
  const requests: { url: string; key: string | null; redirect: string | undefined; body: unknown }[] = [];
  let secrets = 0;
  let broken = 0;
  const textOf = (at: number): string => `rk_live_${String(at).padStart(22, '0')}secret${secrets++}`;
  const add = (): number => {
    const at = keys.length;
    keys.push({
      id: `key_${String(at).padStart(22, '0')}`,
      text: textOf(at),
      created_at: new Date(now()).toISOString(),
      expires_at: new Date(now() + days * 86_400_000).toISOString(),
      used: false,
      successor: undefined,
      idempotencyKey: null,
      revoked: false,
    });
    return at;
  };
  add();

  const problem = (status: number, code: string): Response =>
    Response.json({ type: `urn:rekey:problem:${code}`, detail: `it is ${code}` }, { status });
  const shown = (key: Key) => ({
    id: key.id,
    status: key.successor === undefined ? 'active' : 'rotated',
    scopes: ['orders:read'],
    created_at: key.created_at,
    expires_at: key.expires_at,
    rotation,
    rotation_due_at:
      rotation && new Date(Date.parse(key.created_at) + rotation.every_days * 86_400_000).toISOString(),
    successor_key_id: key.successor === undefined ? null : keys[key.successor]!.id,
    root_key_id: keys[0]!.id,
    generation: keys.indexOf(key),
  });

  const rotate = (key: Key, idempotencyKey: string | null, replacesPending = false): Response => {
    const seen = key.successor === undefined ? undefined : keys[key.successor]!;
    const isPending = seen !== undefined && !seen.used && idempotencyKey !== key.idempotencyKey;
    if (isPending && replacesPending) {
      seen.revoked = true;
      key.successor = undefined;
    }
    if (key.successor === undefined) {
      key.successor = add();
      key.idempotencyKey = idempotencyKey;
    } else {
      const made = keys[key.successor]!;
      if (idempotencyKey === null || idempotencyKey !== key.idempotencyKey)
        return problem(409, 'already_rotated');
      if (made.used) return problem(409, 'idempotency_key_used');
      made.text = textOf(key.successor);
    }
    const made = keys[key.successor]!;
    return Response.json({ key: made.text, api_key: shown(made) }, { status: 201 });
  };

  const send = async (input: Parameters<typeof fetch>[0], init?: RequestInit): Promise<Response> => {
    const url = new URL(input instanceof Request ? input.url : String(input));
    const headers = new Headers(init?.headers);
    requests.push({
      url: url.href,
      key: headers.get('x-api-key'),
      redirect: init?.redirect,
      body: init?.body,
    });
    await new Promise((resolve) => setImmediate(resolve));
    if (broken > 0 && url.host === 'management.test') {
      broken -= 1;
      throw new TypeError('fetch failed');
    }
    const key = keys.find(({ text }) => text === headers.get('x-api-key'));
    if (!key || key.revoked || now() >= Date.parse(key.expires_at)) return problem(401, 'invalid_token');
    key.used = true;
    if (url.host === 'orders.test') return Response.json({ by: key.id });
    if (url.pathname === '/v1/api-keys/self') return Response.json({ api_key: shown(key) });
    if (url.pathname === '/v1/api-keys/self/rotate') {
      const { replace_pending = false } = JSON.parse(String(init?.body)) as { replace_pending?: boolean };
      return rotate(key, headers.get('idempotency-key'), replace_pending);
    }
    key.revoked = true;
    return Response.json({ api_key: shown(key) });
  };

  return {
    keys,
    requests,
    send: send as typeof fetch,
    /** The management API is not to be reached for so many calls. */
    breakManagement: (calls: number) => {
      broken = calls;
    },
    /** Somebody rotates the key who is no client, with a secret that nobody here gets. */
    rotateByHand: (at: number) => rotate(keys[at]!, null),
    /** A process asks for the successor with the client's Idempotency-Key and is never heard of again. */
    rotateAndCrash: (at: number) => rotate(keys[at]!, 'rekey-client'),
  };
}
