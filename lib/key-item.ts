import type { ApiKeyRecord } from './api-key.schema.ts';

/**
 * Facts of a key as attributes of its item. Only scopes have another form there: one text with spaces between them, as
 * OAuth 2.0 writes them (RFC 6749, section 3.3). A list of a hundred costs every read more than the rest of its decision
 * (docs/performance.md).
 */
export const attributesOfKey = ({ scopes, ...facts }: Partial<ApiKeyRecord>): Record<string, unknown> =>
  scopes === undefined ? facts : { ...facts, scopes: scopes.join(' ') };

/** The scopes of an item, not looked at yet. Versions before stored a list, which stays until it is changed. */
export const scopesOfItem = (stored: unknown): unknown =>
  typeof stored === 'string' ? stored.split(' ') : stored;

/** What an item says of its key, not looked at yet: for the schemas to parse. */
export const factsOfItem = (item: Record<string, unknown>): Record<string, unknown> => ({
  ...item,
  scopes: scopesOfItem(item['scopes']),
});
