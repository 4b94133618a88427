import type { Environment, OwnerAccess } from '../api-key.schema.ts';
import { InvalidToken } from '../problem.ts';
import { isGrant } from '../scope.ts';

/** Who calls, as the authorizer found it. */
export interface Principal {
  key_id: string;
  owner_id: string;
  owner_access: OwnerAccess;
  environment: Environment;
  /** What the key holds; either part of a scope may be `*`. */
  scopes: string[];
}

/** What is read of an event: REST APIs and HTTP APIs, payload 1.0 or 2.0, and WebSocket `$connect`. */
export interface AuthorizedEvent {
  version?: string | undefined;
  requestContext: { authorizer?: unknown; requestId?: string | undefined };
}

const KEY_ID = /^key_[0-9A-Za-z]{22}$/;
const OWNER_ID = /^[\x21-\x7e]{1,128}$/;
const MOST_SCOPES = 100;

/** An HTTP API's payload 2.0 has the authorizer's context one level deeper, under `lambda`. */
const contextOf = ({ version, requestContext }: AuthorizedEvent): unknown => {
  const authorizer = requestContext?.authorizer;
  return version === '2.0' ? (authorizer as { lambda?: unknown } | undefined)?.lambda : authorizer;
};

/**
 * Who calls, from the context that Rekey's authorizer gave to the event.
 *
 * @throws InvalidToken (401) when there is no such context or it is not whole: the route has no authorizer, or
 *   another one. Never a principal with less in it.
 */
export function principalOf(event: AuthorizedEvent): Principal {
  const context = contextOf(event);
  if (typeof context !== 'object' || context === null) throw new InvalidToken();

  const text = (name: string): string => {
    const value = Object.hasOwn(context, name) ? (context as Record<string, unknown>)[name] : undefined;
    if (typeof value !== 'string') throw new InvalidToken();
    return value;
  };
  const key_id = text('key_id');
  const owner_id = text('owner_id');
  const owner_access = text('owner_access');
  const environment = text('environment');
  const scopes = text('scopes').split(' ');

  if (
    !KEY_ID.test(key_id) ||
    !OWNER_ID.test(owner_id) ||
    (owner_access !== 'own' && owner_access !== 'any') ||
    (environment !== 'live' && environment !== 'test') ||
    scopes.length > MOST_SCOPES ||
    !scopes.every(isGrant)
  )
    throw new InvalidToken();
  return { key_id, owner_id, owner_access, environment, scopes };
}
