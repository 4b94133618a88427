import { createHash } from 'node:crypto';
import { z } from 'zod';
import { Instant, KeyId } from './api-key.schema.ts';
import { canonicalJson } from './canonical-json.ts';
import { IdempotencyKeyReused, Problem, Unavailable } from './problem.ts';
import { environmentTable, type KeyTable, names, readItem } from './table-client.ts';
import { SORT_KEY } from './table-layout.ts';

const LIFE_MS = 24 * 3_600_000;

/** What an Idempotency-Key stands for. The plaintext of the key it made is not in it, nor can it be found by it. */
export const IdempotencyRecord = z.object({
  caller_key_id: z.string(),
  operation: z.string(),
  /** SHA-256 of the request, 64 hex digits. */
  request_hash: z.string(),
  /** The key that the first request made. */
  api_key_id: KeyId,
  /** The key that the first request rotated; null for a create. */
  previous_key_id: KeyId.nullable(),
  created_at: Instant,
  expires_at: Instant,
  /** Epoch seconds: tidies up. The end is `expires_at`. */
  ttl: z.int(),
});
export type IdempotencyRecord = z.infer<typeof IdempotencyRecord>;

/** One request's claim to an Idempotency-Key. */
export interface Claim {
  caller_key_id: string;
  operation: string;
  idempotency_key: string;
  /** From `requestHash`. */
  request_hash: string;
  /** Epoch milliseconds. */
  now: number;
}

/** Of everything that makes the request what it is: the id in its path and its body, `{ id, body }`. */
export function requestHash(request: unknown): string {
  return createHash('sha256').update(canonicalJson(request)).digest('hex');
}

const placeOf = ({ caller_key_id, operation, idempotency_key }: Claim): { pk: string; sk: string } => {
  // Neither a key id nor an operation's name has a line break, so two claims never share a text.
  const text = `${caller_key_id}\n${operation}\n${idempotency_key}`;
  return {
    pk: `idempotency_${createHash('sha256').update(text).digest('hex')}`,
    sk: SORT_KEY.idempotency,
  };
};

/**
 * The transaction's part that takes the Idempotency-Key: it fails when another request holds it. An expired
 * record may still lie there, since TTL takes days.
 */
export function claiming(
  claim: Claim,
  made: { api_key_id: string; previous_key_id: string | null },
  table: KeyTable,
) {
  const { caller_key_id, operation, request_hash, now } = claim;
  const record: IdempotencyRecord = {
    caller_key_id,
    operation,
    request_hash,
    ...made,
    created_at: new Date(now).toISOString(),
    expires_at: new Date(now + LIFE_MS).toISOString(),
    ttl: Math.ceil((now + LIFE_MS) / 1000),
  };
  return {
    Put: {
      TableName: table.tableName,
      Item: { ...placeOf(claim), ...record },
      ConditionExpression: 'attribute_not_exists(#pk) OR #expires_at <= :now',
      ExpressionAttributeNames: names('pk', 'expires_at'),
      ExpressionAttributeValues: { ':now': record.created_at },
    },
  };
}

/** What this Idempotency-Key has made in the last 24 hours; read consistently. */
export async function findIdempotency(
  claim: Claim,
  table: KeyTable = environmentTable(),
): Promise<IdempotencyRecord | undefined> {
  const item = await readItem(table, placeOf(claim));
  if (item === undefined) return undefined;
  const record = IdempotencyRecord.parse(item);
  return claim.now < Date.parse(record.expires_at) ? record : undefined;
}

/**
 * Does something at most once for each Idempotency-Key of a caller. The first request does `first`, whose write
 * takes the key in the same transaction and gives `'taken'` when it finds it held; every other request does
 * `again` with what the first one made. Without a claim it is `first` and nothing else.
 *
 * @throws IdempotencyKeyReused when the key came with another request
 */
export async function oncePer<T>(
  claim: Claim | undefined,
  deeds: {
    first: (claim: Claim | undefined) => Promise<T | 'taken'>;
    again: (earlier: IdempotencyRecord) => Promise<T>;
  },
  table: KeyTable = environmentTable(),
): Promise<T> {
  if (claim === undefined) return notTaken(await deeds.first(undefined));

  const repeat = (earlier: IdempotencyRecord): Promise<T> => {
    if (earlier.request_hash !== claim.request_hash) throw new IdempotencyKeyReused();
    return deeds.again(earlier);
  };

  const earlier = await findIdempotency(claim, table);
  if (earlier) return repeat(earlier);
  try {
    const done = await deeds.first(claim);
    if (done !== 'taken') return done;
  } catch (error) {
    // 409: the key has moved on. If it was this very request's twin that moved it, that is no conflict.
    const twin =
      error instanceof Problem && error.status === 409 ? await findIdempotency(claim, table) : undefined;
    if (twin) return repeat(twin);
    throw error;
  }
  const twin = await findIdempotency(claim, table);
  if (twin) return repeat(twin);
  throw new Unavailable(1);
}

function notTaken<T>(done: T | 'taken'): T {
  if (done === 'taken') throw new Error('nothing can be taken without a claim');
  return done;
}
