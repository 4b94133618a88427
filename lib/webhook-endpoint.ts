import { type Caller, maySee } from './caller.ts';
import type { EventType } from './event.schema.ts';
import { instant } from './instant.ts';
import { EnvironmentForbidden } from './problem.ts';
import type { WebhookEndpoint, WebhookEndpointRecord } from './webhook-endpoint.schema.ts';

/** The owner under which fan-out finds the endpoints that listen to all owners. No owner can have this name. */
export const ALL_OWNERS = '*';

/** Nothing got through for so long: the endpoint is disabled. */
const LONGEST_FAILING_MS = 5 * 86_400_000;
/** An endpoint that answered slowly is served apart from the others for so long. */
const SLOW_MS = 600_000;

const HOUR_MS = 3_600_000;
/** Each is one more signature in every delivery. */
const MOST_EARLIER_SECRETS = 3;
const BY_REQUEST = 'by request';

export type Lane = 'fast' | 'slow';

export const isEnabled = ({ disabled_at }: Pick<WebhookEndpointRecord, 'disabled_at'>): boolean =>
  disabled_at === null;

/** The endpoint as callers see it. */
export function publicEndpoint(record: WebhookEndpointRecord): WebhookEndpoint {
  const {
    webhook_owner: _owner,
    slow_until: _slow,
    oldest_secret_version: _oldest,
    version: _version,
    ...shown
  } = record;
  return { ...shown, status: isEnabled(record) ? 'enabled' : 'disabled' };
}

/** Whether an endpoint that listens to these patterns gets events of this type. */
export function listensTo(events: readonly string[], type: string): boolean {
  return events.some(
    (pattern) =>
      pattern === '*' ||
      pattern === type ||
      (pattern.endsWith('.*') && type.startsWith(pattern.slice(0, -'*'.length))),
  );
}

/**
 * Whether the caller may know of this endpoint. One that listens to all owners is for callers that act for all: its
 * deliveries tell of the others' keys.
 */
export function maySeeEndpoint(
  caller: Caller,
  endpoint: Pick<WebhookEndpointRecord, 'owner_id' | 'all_owners'>,
): boolean {
  return caller.owner_access === 'any' || (maySee(caller, endpoint) && !endpoint.all_owners);
}

/** @throws EnvironmentForbidden: an endpoint is told of live keys, whichever key registered it */
export function demandLiveCaller(caller: Caller): void {
  if (caller.environment === 'test')
    throw new EnvironmentForbidden(
      'A test key manages no webhook endpoints, since they are told of live keys. Call with a live key.',
    );
}

/** Which queue serves the endpoint: a slow one must not hold up the others. */
export function laneOf({ slow_until }: Pick<WebhookEndpointRecord, 'slow_until'>, now: number): Lane {
  return slow_until !== null && now < Date.parse(slow_until) ? 'slow' : 'fast';
}

/** What a decision changes, and what its event says of it. */
export interface EndpointDecision {
  changes: Partial<WebhookEndpointRecord>;
  type: Extract<EventType, `webhook_endpoint.${string}`>;
  reason?: string;
}

/** It may be another server, or a mended one: what is known of how it answers is known no more. */
const FRESH = { failing_since: null, slow_until: null };

/**
 * Decides a change that somebody asks for.
 *
 * @param wanted what was sent, the URL already found good
 * @returns undefined when all is so already
 */
export function decideUpdate(
  record: WebhookEndpointRecord,
  { status, ...wanted }: Partial<Pick<WebhookEndpoint, 'url' | 'events' | 'description' | 'status'>>,
  now: number,
): EndpointDecision | undefined {
  const changed = Object.entries(wanted).filter(
    ([name, value]) =>
      value !== undefined &&
      JSON.stringify(value) !== JSON.stringify(record[name as keyof WebhookEndpointRecord]),
  );
  const changes: Partial<WebhookEndpointRecord> = Object.fromEntries(changed);
  if (changes.url !== undefined) Object.assign(changes, FRESH);
  if (status === 'enabled' && !isEnabled(record))
    Object.assign(changes, { ...FRESH, disabled_at: null, disabled_reason: null });
  if (status === 'disabled' && isEnabled(record)) {
    const disabled = { disabled_at: instant(now), disabled_reason: BY_REQUEST };
    return {
      changes: { ...changes, ...disabled },
      type: 'webhook_endpoint.disabled',
      reason: BY_REQUEST,
    };
  }
  return Object.keys(changes).length > 0 ? { changes, type: 'webhook_endpoint.updated' } : undefined;
}

/**
 * The next secret; those before it sign as well until the grace ends. A rotation during a grace ends no secret sooner:
 * it may be the same one again, whose answer got lost.
 */
export function decideSecretRotation(
  record: WebhookEndpointRecord,
  grace_period_hours: number,
  now: number,
): EndpointDecision {
  const secret_version = record.secret_version + 1;
  const type = 'webhook_endpoint.secret_rotated';
  if (grace_period_hours === 0)
    return {
      changes: { secret_version, oldest_secret_version: secret_version, previous_secret_until: null },
      type,
    };
  const running = inGrace(record, now);
  const end = Math.max(
    now + grace_period_hours * HOUR_MS,
    running ? Date.parse(record.previous_secret_until ?? '') : 0,
  );
  const oldest = running ? record.oldest_secret_version : record.secret_version;
  return {
    changes: {
      secret_version,
      oldest_secret_version: Math.max(oldest, secret_version - MOST_EARLIER_SECRETS),
      previous_secret_until: instant(end),
    },
    type,
  };
}

const inGrace = (
  { previous_secret_until }: Pick<WebhookEndpointRecord, 'previous_secret_until'>,
  now: number,
): boolean => previous_secret_until !== null && now < Date.parse(previous_secret_until);

/** The versions of the secret that sign now, the newest first. */
export function signingVersions(
  record: Pick<WebhookEndpointRecord, 'secret_version' | 'oldest_secret_version' | 'previous_secret_until'>,
  now: number,
): number[] {
  const { secret_version, oldest_secret_version } = record;
  const oldest = inGrace(record, now) ? oldest_secret_version : secret_version;
  return Array.from({ length: secret_version - oldest + 1 }, (_, i) => secret_version - i);
}

/** What an attempt says of its endpoint. */
export interface AttemptNews {
  /** `moved`: the fast lane gave up waiting, and the slow one tries again. */
  outcome: 'succeeded' | 'failed' | 'gone' | 'moved';
  /** Whether it took longer than the fast lane waits. */
  slow: boolean;
}

/** What an attempt changes of its endpoint. */
export interface AfterAttempt {
  noted: Partial<Pick<WebhookEndpointRecord, 'failing_since' | 'slow_until'>>;
  disable?: 'gone' | 'failing';
}

/**
 * What an attempt changes of its endpoint; nothing, most of the time.
 *
 * @param now epoch milliseconds, when the attempt ended
 */
export function decideAfterAttempt(
  endpoint: WebhookEndpointRecord,
  { outcome, slow }: AttemptNews,
  now: number,
): AfterAttempt {
  const noted: AfterAttempt['noted'] = {};
  const { failing_since, slow_until } = endpoint;
  // Prolonged when half of it is over, and not with every attempt.
  if (slow && (slow_until === null || Date.parse(slow_until) - now < SLOW_MS / 2))
    noted.slow_until = instant(now + SLOW_MS);
  // It may have been our own machine that was slow: who answers in time is served with the others again.
  if (!slow && slow_until !== null) noted.slow_until = null;
  if (outcome === 'succeeded' && failing_since !== null) noted.failing_since = null;
  if (outcome === 'failed' || outcome === 'gone') {
    if (failing_since === null) noted.failing_since = instant(now);
    const failingFor = failing_since === null ? 0 : now - Date.parse(failing_since);
    if (outcome === 'gone') return { noted, disable: 'gone' };
    if (failingFor >= LONGEST_FAILING_MS) return { noted, disable: 'failing' };
  }
  return { noted };
}
