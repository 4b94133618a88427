/** API Gateway's `multiValueHeaders` (lists) or `headers` (single texts). */
export type Headers = Readonly<Record<string, readonly string[] | string | undefined>>;

export type CredentialProblem = 'missing' | 'repeated' | 'conflicting' | 'malformed';

export type Credential = { key: string } | { problem: CredentialProblem };

/** A key has 89 characters at most; nothing longer is looked at. */
const LONGEST_VALUE = 512;

/**
 * Visible ASCII without the comma, which is how a proxy joins repeated headers (RFC 9110, section 5.3). Blanks
 * around a value are no part of it (section 5.5).
 */
const API_KEY = /^[ \t]*([!-+\--~]+)[ \t]*$/;
/** RFC 6750, section 2.1; the scheme's name is case-insensitive (RFC 9110, section 11.1). */
const BEARER = /^[ \t]*bearer +([!-+\--~]+)[ \t]*$/i;

/** All values of a header, whatever the case of its name and however often it was written. */
const valuesOf = (headers: Headers, name: string): unknown[] =>
  Object.keys(headers)
    .filter((key) => key.toLowerCase() === name)
    .flatMap((key): unknown => headers[key] ?? []);

const readOne = (values: unknown[], pattern: RegExp): Credential => {
  if (values.length === 0) return { problem: 'missing' };
  if (values.length > 1) return { problem: 'repeated' };
  const [value] = values;
  if (typeof value !== 'string' || value.length > LONGEST_VALUE) return { problem: 'malformed' };
  if (value.includes(',')) return { problem: 'repeated' };
  const key = pattern.exec(value)?.[1];
  return key === undefined ? { problem: 'malformed' } : { key };
};

/**
 * Takes the key out of a request: from `x-api-key` or from `Authorization: Bearer`. There is no other extractor,
 * so no check can hold for one header and be missed for the other. It is strict where a proxy and a server could
 * read differently: a header that comes twice, two headers that differ, another scheme, an empty value are all
 * refused, also beside a good one. The same key in both headers is fine.
 *
 * @param multiValueHeaders of the event: the only place where API Gateway shows a repeated header
 * @param headers of the event, read only where there are no `multiValueHeaders` (HTTP APIs, payload 2.0)
 */
export function extractKey(
  multiValueHeaders: Headers | null | undefined,
  headers?: Headers | null | undefined,
): Credential {
  const all = multiValueHeaders ?? headers ?? {};
  const apiKey = readOne(valuesOf(all, 'x-api-key'), API_KEY);
  const bearer = readOne(valuesOf(all, 'authorization'), BEARER);

  if ('problem' in apiKey && apiKey.problem !== 'missing') return apiKey;
  if ('problem' in bearer && bearer.problem !== 'missing') return bearer;
  if ('key' in apiKey && 'key' in bearer && apiKey.key !== bearer.key) return { problem: 'conflicting' };
  return 'key' in apiKey ? apiKey : bearer;
}
