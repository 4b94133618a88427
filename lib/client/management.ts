/** What the client needs to know of its key; the management API says more. */
export interface KeyState {
  id: string;
  status: 'active' | 'pending' | 'rotated' | 'expired' | 'revoked';
  scopes: string[];
  created_at: string;
  /** null: never. */
  expires_at: string | null;
  /** When it is to be rotated; null: its life says. Absent in stacks of earlier versions. */
  rotation_due_at?: string | null;
  /** How it is to be rotated: with `deliver` by the system, and into the store. Absent in stacks of earlier versions. */
  rotation?: { every_days: number; grace_period_hours?: number; deliver?: object } | null;
  successor_key_id: string | null;
  /** The first key of its line, and how many came before it there. */
  root_key_id: string;
  generation: number;
}

/** What a key may ask of its own rotation. */
export interface RotateSelf {
  /** Hours that the old key works on. */
  grace_period_hours: number;
  /** When they begin: at once, unless the stack says otherwise, or when the successor is used for the first time. */
  grace_starts?: 'now' | 'first_use';
  /** Whether a successor that nobody has used makes room for another. */
  replace_pending?: boolean;
}

/** The management API refused. `type` is the problem's: `urn:rekey:problem:already_rotated`. */
export class RekeyRefusal extends Error {
  override readonly name = 'RekeyRefusal';
  readonly status: number;
  readonly type: string;

  constructor(status: number, type: string, detail: string) {
    super(detail);
    this.status = status;
    this.type = type;
  }
}

export const isRefusal = (error: unknown, status: number): error is RekeyRefusal =>
  error instanceof RekeyRefusal && error.status === status;

/** Milliseconds until an answer of the management API is given up. */
const LONGEST_CALL = 10_000;

/**
 * One Idempotency-Key for all processes: it is bound to the calling key, so it stands for "the successor of this
 * key". Whoever asks again, after a crash or a lost answer, gets that successor with a new secret.
 */
const SAME_SUCCESSOR = 'rekey-client';

export type Management = ReturnType<typeof managementOf>;

/** The operations of the management API that a key may call for itself. Any of them throws RekeyRefusal. */
export function managementOf(url: string, send: typeof fetch) {
  const call = async (
    method: 'GET' | 'POST',
    path: string,
    key: string,
    body?: object,
    headers: Record<string, string> = {},
  ): Promise<Record<string, unknown>> => {
    const response = await send(`${url}/api-keys/self${path}`, {
      method,
      // A key is not carried to where somebody else points.
      redirect: 'error',
      signal: AbortSignal.timeout(LONGEST_CALL),
      headers: { ...headers, 'x-api-key': key, ...(body && { 'content-type': 'application/json' }) },
      ...(body && { body: JSON.stringify(body) }),
    });
    const answer = (await response.json().catch(() => ({}))) as Record<string, unknown>;
    if (response.ok) return answer;
    throw new RekeyRefusal(
      response.status,
      String(answer['type'] ?? ''),
      String(answer['detail'] ?? `the management API answered ${response.status}`),
    );
  };

  return {
    self: async (key: string): Promise<KeyState> => (await call('GET', '', key))['api_key'] as KeyState,

    /** The successor, and its text. @param idempotencyKey who sends it again gets the same successor */
    rotate: async (
      key: string,
      request: RotateSelf,
      idempotencyKey: string = SAME_SUCCESSOR,
    ): Promise<{ key: string; api_key: KeyState }> => {
      const headers = { 'idempotency-key': idempotencyKey };
      const answer = await call('POST', '/rotate', key, request, headers);
      return { key: String(answer['key']), api_key: answer['api_key'] as KeyState };
    },

    revoke: async (key: string, reason?: string): Promise<KeyState> =>
      (await call('POST', '/revoke', key, reason === undefined ? {} : { reason }))['api_key'] as KeyState,
  };
}
