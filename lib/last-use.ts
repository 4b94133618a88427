import type { ApiKeyRecord } from './api-key.schema.ts';

const HOUR = 3_600_000;
/** An API's id, a method and a resource; longer ones are cut. */
const LONGEST_ROUTE = 256;

/** What a use leaves on its key. */
export type LastUse = Pick<ApiKeyRecord, 'last_used_at' | 'last_used_ip' | 'last_used_route'>;

/** The names are those of the attributes that are set, and nothing else is. */
export const LAST_USE = ['last_used_at', 'last_used_ip', 'last_used_route'] as const;

/** A key of which nothing is noted: it is noted at most once an hour, so that its traffic costs no writes. */
export const isNews = (last_used_at: string | null, now: number): boolean =>
  last_used_at === null || Date.parse(last_used_at) <= now - HOUR;

/** Where and when a key was used. The address is null where it is not that of the one who used the key. */
export interface Use {
  now: number;
  ip: string | null;
  route: string;
}

/**
 * The update that notes a use, or nothing when one was noted in the last hour. It names the digest that was used and
 * demands that the key is there and not revoked, so it brings nothing back; it leaves `version` alone, so it disturbs no
 * other write; and its own effect makes its condition false, so it can be sent twice.
 */
export function decideLastUse(
  { digest, last_used_at }: Pick<ApiKeyRecord, 'digest' | 'last_used_at'>,
  { now, ip, route }: Use,
) {
  if (!isNews(last_used_at, now)) return undefined;
  const used: LastUse = {
    last_used_at: new Date(now).toISOString(),
    last_used_ip: ip,
    last_used_route: route.slice(0, LONGEST_ROUTE),
  };
  return {
    UpdateExpression: `SET ${LAST_USE.map((name) => `#${name} = :${name}`).join(', ')}`,
    ConditionExpression:
      'attribute_exists(#pk) AND #digest = :digest AND attribute_type(#revoked_at, :null) AND (attribute_not_exists(#last_used_at) OR attribute_type(#last_used_at, :null) OR #last_used_at <= :before)',
    ExpressionAttributeNames: Object.fromEntries(
      ['pk', 'digest', 'revoked_at', ...LAST_USE].map((name) => [`#${name}`, name]),
    ),
    values: {
      ...Object.fromEntries(LAST_USE.map((name) => [`:${name}`, used[name]])),
      ':digest': digest,
      ':null': 'NULL',
      ':before': new Date(now - HOUR).toISOString(),
    } as Record<string, string | null>,
  };
}

/**
 * Whether nobody has used the key for so many days: since its last use or, unused, since it was made.
 *
 * @param now epoch milliseconds
 */
export function isUnusedFor(
  {
    last_used_at,
    first_used_at,
    created_at,
  }: Pick<ApiKeyRecord, 'last_used_at' | 'first_used_at' | 'created_at'>,
  days: number,
  now: number,
): boolean {
  return Date.parse(last_used_at ?? first_used_at ?? created_at) <= now - days * 24 * HOUR;
}
