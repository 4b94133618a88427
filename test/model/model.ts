/**
 * What should happen, in plain words of TypeScript: keys, scopes, clocks, lines, pending successors, graces, retries and
 * owners. It shares no line with the product; docs/rotation.md and docs/storage.md are what both are written from.
 */

export const HOUR = 3_600_000;
export const DAY = 24 * HOUR;
const MOST_DAYS = 365;

/** Who calls the management API. A number is a key of the table that calls for itself. */
export type CallerName = 'admin' | 'manager' | 'reader' | 'stranger';

export interface Caller {
  id: string;
  owner: string;
  any: boolean;
  scopes: string[];
}

export interface RotateRequest {
  grace_period_hours?: number;
  grace_starts?: 'now' | 'first_use';
  replace_pending?: boolean;
  scopes?: string[];
}

/** A request that may carry an Idempotency-Key, by its number. */
export type Command =
  | {
      do: 'create';
      caller: CallerName;
      owner: number;
      scopes: string[];
      days: number;
      grace_starts: 'now' | 'first_use' | null;
      retry?: number;
    }
  | { do: 'rotate'; caller: CallerName; key: number; request: RotateRequest; retry?: number }
  | { do: 'rotate-self'; key: number; secret: number; request: RotateRequest; retry?: number }
  | { do: 'cancel'; caller: CallerName; key: number }
  | { do: 'revoke'; caller: CallerName; key: number }
  | { do: 'update'; caller: CallerName; key: number; scopes?: string[]; expires_in_hours?: number }
  | { do: 'use'; key: number; secret: number; scope: string }
  | { do: 'verify'; caller: CallerName; key: number; secret: number; scope: string };

export type Step =
  | Command
  | { do: 'sweep' }
  | { do: 'wait'; ms: number }
  | { do: 'together'; commands: Command[] }
  /** The network fails from this request of the command on: before or after it was carried out, or just once. */
  | { do: 'crash'; command: Command; at: number; how: 'before' | 'after' | 'once' };

export interface Key {
  /** Unknown when the answer that would have told it was lost, until the table is looked at. */
  id: string | undefined;
  owner: string;
  scopes: string[];
  created: number;
  ends: number | null;
  rotated: number | null;
  revoked: number | null;
  used: number | null;
  parent: number | null;
  successor: number | null;
  root: number;
  generation: number;
  nextGeneration: number | null;
  /** The end before the rotation; undefined when there is nothing to give back. */
  ownEnd: number | null | undefined;
  graceStarts: 'now' | 'first_use' | null;
  pendingUntil: number | null;
  pendingGrace: number;
  /** How many secrets it has had; only the last one opens. */
  secrets: number;
  endTold: boolean;
  /** When its last rotation was taken back. */
  cancelled: number | null;
  /** What stands in its trail, without notices. */
  events: string[];
}

interface Claim {
  request: string;
  key: number;
  at: number;
}

export interface State {
  now: number;
  keys: Key[];
  claims: Record<string, Claim>;
  mostValid: number;
  pendingDays: number;
  stackStarts: 'now' | 'first_use';
}

/** What an answer says, as far as the model says it. */
export interface Answer {
  status: number;
  code?: string;
  /** The key that an answer shows, and the secret it hands out, by their numbers. */
  key?: number;
  secret?: number;
  ended?: number[];
  named?: number;
}

const refused = (status: number, code: string, named?: number): Answer => ({
  status,
  code,
  ...(named !== undefined && { named }),
});

/** All that a scope allows, in a small world that has something unnamed in each place a wildcard stands for. */
const meaning = (scopes: readonly string[]): Set<string> => {
  const [resources, actions] = [
    ['a', 'b', 'other'],
    ['read', 'write', 'other'],
  ];
  return new Set(
    resources.flatMap((resource) =>
      actions
        .filter((action) =>
          scopes.some((scope) =>
            [`${resource}:${action}`, `${resource}:*`, `*:${action}`, '*:*'].includes(scope),
          ),
        )
        .map((action) => `${resource}:${action}`),
    ),
  );
};
const isWithin = (less: readonly string[], more: readonly string[]) => {
  const all = meaning(more);
  return [...meaning(less)].every((one) => all.has(one));
};

export type Status = 'active' | 'pending' | 'rotated' | 'expired' | 'revoked';
export const statusOf = (key: Key, now: number): Status => {
  if (key.revoked !== null) return 'revoked';
  if (key.ends !== null && now >= key.ends) return 'expired';
  if (key.pendingUntil !== null && now >= key.pendingUntil) return 'expired';
  if (key.rotated !== null) return 'rotated';
  return key.pendingUntil === null ? 'active' : 'pending';
};
export const isValid = (key: Key, now: number) => !['revoked', 'expired'].includes(statusOf(key, now));

const sees = (caller: Caller, key: Key) => caller.any || caller.owner === key.owner;
const sooner = (a: number | null, b: number) => (a === null ? b : Math.min(a, b));

const newKey = (
  facts: Pick<Key, 'owner' | 'scopes' | 'created' | 'ends' | 'graceStarts' | 'root'> & Partial<Key>,
): Key => ({
  id: undefined,
  rotated: null,
  revoked: null,
  used: null,
  parent: null,
  successor: null,
  generation: 0,
  nextGeneration: null,
  ownEnd: undefined,
  pendingUntil: null,
  pendingGrace: 0,
  secrets: 1,
  endTold: false,
  cancelled: null,
  events: ['created'],
  ...facts,
});

/** The end of a successor that nobody has used. */
const retire = (key: Key, now: number) => {
  key.revoked = now;
  key.pendingUntil = null;
  key.events.push('revoked');
};

/** What a key does by being let in. */
const letIn = (state: State, key: Key, number: number) => {
  if (key.used !== null) return;
  key.used = state.now;
  key.events.push('first_used');
  if (key.pendingUntil === null) return;
  key.pendingUntil = null;
  const parent = state.keys[key.parent!]!;
  if (parent.successor !== number || parent.rotated !== null || !isValid(parent, state.now)) return;
  parent.rotated = state.now;
  parent.ends = sooner(parent.ends, state.now + key.pendingGrace * HOUR);
  parent.events.push('updated');
};

/** What somebody is told who shows this secret of a key and wants this. */
const judge = (state: State, key: Key, secret: number, scope: string): string => {
  if (secret !== key.secrets) return 'not_found';
  const status = statusOf(key, state.now);
  if (status === 'revoked' || status === 'expired') return status;
  return isWithin([scope], key.scopes) ? 'valid' : 'insufficient_scope';
};

/** Does once what an Idempotency-Key stands for. */
const once = (
  state: State,
  claim: { caller: Caller; operation: string; request: string; retry: number | undefined },
  first: () => Answer,
): Answer => {
  if (claim.retry === undefined) return first();
  const name = `${claim.caller.id} ${claim.operation} ${claim.retry}`;
  const earlier = state.claims[name];
  if (!earlier || state.now >= earlier.at + DAY) {
    const answer = first();
    if (answer.status === 201)
      state.claims[name] = { request: claim.request, key: answer.key!, at: state.now };
    return answer;
  }
  if (earlier.request !== claim.request) return refused(422, 'idempotency_key_reused');
  const key = state.keys[earlier.key]!;
  if (!isWithin(key.scopes, claim.caller.scopes)) return refused(403, 'scope_escalation');
  if (key.revoked !== null) return refused(409, 'key_revoked');
  if (key.used !== null) return refused(409, 'idempotency_key_used');
  if (!isValid(key, state.now)) return refused(409, 'key_expired');
  key.secrets += 1;
  key.events.push('updated');
  return { status: 201, key: earlier.key, secret: key.secrets, ended: [] };
};

const rotate = (
  state: State,
  number: number,
  caller: Caller,
  request: RotateRequest,
  contested: boolean,
): Answer => {
  const { now, keys } = state;
  const old = keys[number]!;
  if (old.revoked !== null) return refused(409, 'key_revoked');
  const valid = isValid(old, now);
  const successor = old.successor === null ? undefined : keys[old.successor]!;
  if (successor) {
    if (successor.used !== null || successor.successor !== null || !valid)
      return refused(409, 'already_rotated', old.successor!);
    if (isValid(successor, now) && (!request.replace_pending || contested))
      return refused(409, 'pending_successor', old.successor!);
  }
  if (!valid) return refused(409, 'key_expired');
  const ancestors: number[] = [];
  for (let one = old.parent; one !== null; one = keys[one]!.parent) ancestors.push(one);
  if (old.pendingUntil !== null && isValid(keys[ancestors[0]!]!, now))
    return refused(409, 'pending_successor', number);
  const scopes = request.scopes ?? old.scopes;
  if (!isWithin(scopes, old.scopes)) return refused(400, 'invalid_request');
  if (!isWithin(scopes, caller.scopes)) return refused(403, 'scope_escalation');

  const life = old.ends === null ? null : old.ends - old.created;
  const grace = request.grace_period_hours ?? 24;
  const pending =
    old.rotated === null && (request.grace_starts ?? old.graceStarts ?? state.stackStarts) === 'first_use';
  const ended: number[] = [];
  if (successor && successor.revoked === null) {
    retire(successor, now);
    ended.push(old.successor!);
  }
  keys.push(
    newKey({
      owner: old.owner,
      scopes,
      created: now,
      ends: life === null ? null : now + Math.min(life, MOST_DAYS * DAY),
      graceStarts: old.graceStarts,
      root: old.root,
      parent: number,
      generation: successor ? successor.generation + 1 : (old.nextGeneration ?? old.generation + 1),
      pendingUntil: pending ? now + state.pendingDays * DAY : null,
      pendingGrace: grace,
    }),
  );
  old.successor = keys.length - 1;
  old.pendingUntil = null;
  old.events.push('rotated');
  if (!pending) {
    if (old.rotated === null) old.ownEnd = old.ends;
    old.rotated ??= now;
    old.ends = sooner(old.ends, now + grace * HOUR);
  }
  // The line keeps its youngest keys.
  const room = state.mostValid - 1 - (isValid(old, now) ? 1 : 0);
  for (const one of ancestors.filter((one) => isValid(keys[one]!, now)).slice(room)) {
    keys[one]!.ends = now;
    keys[one]!.events.push('updated');
    ended.push(one);
  }
  return { status: 201, key: keys.length - 1, secret: 1, ended };
};

const cancel = (state: State, number: number, caller: Caller, contested: boolean): Answer => {
  const key = state.keys[number]!;
  if (key.revoked !== null) return refused(409, 'key_revoked');
  // Its twin did at the same moment what it was about to do.
  if (
    contested &&
    key.successor === null &&
    key.cancelled === state.now &&
    isWithin(key.scopes, caller.scopes)
  )
    return { status: 200, key: number };
  if (key.successor === null) return refused(409, 'not_rotated');
  if (!isValid(key, state.now)) return refused(409, 'key_expired');
  const successor = state.keys[key.successor]!;
  if (successor.used !== null) return refused(409, 'successor_used', key.successor);
  if (successor.successor !== null) return refused(409, 'already_rotated', successor.successor);
  if (!isWithin(key.scopes, caller.scopes)) return refused(403, 'scope_escalation');
  if (successor.revoked === null) retire(successor, state.now);
  if (key.rotated !== null) key.ends = key.ownEnd!;
  key.ownEnd = undefined;
  key.rotated = null;
  key.cancelled = state.now;
  key.successor = null;
  key.nextGeneration = successor.generation + 1;
  key.events.push('updated');
  return { status: 200, key: number };
};

const update = (
  state: State,
  number: number,
  caller: Caller,
  { scopes, expires_in_hours }: { scopes?: string[]; expires_in_hours?: number },
): Answer => {
  const key = state.keys[number]!;
  const status = statusOf(key, state.now);
  if (status === 'revoked') return refused(409, 'key_revoked');
  if (status === 'expired') return refused(409, 'key_expired');
  if (status === 'rotated') return refused(409, 'key_rotated', key.successor ?? undefined);
  if (key.successor !== null) return refused(409, 'pending_successor', key.successor);
  if (scopes && !isWithin(scopes, caller.scopes)) return refused(403, 'scope_escalation');
  const ends = expires_in_hours === undefined ? key.ends : state.now + expires_in_hours * HOUR;
  if (expires_in_hours !== undefined) {
    if (ends! > key.created + MOST_DAYS * DAY) return refused(400, 'invalid_request');
    if (key.ends !== null && ends! > key.ends && !isWithin(scopes ?? key.scopes, caller.scopes))
      return refused(403, 'scope_escalation');
  }
  const same = ends === key.ends && (!scopes || sorted(scopes) === sorted(key.scopes));
  key.ends = ends;
  key.scopes = scopes ?? key.scopes;
  if (!same) key.events.push('updated');
  return { status: 200, key: number };
};
const sorted = (scopes: readonly string[]) => [...new Set(scopes)].sort().join(' ');

/** Does a command, and says how it is answered. `contested`: another's request was done while it was under way. */
export function command(
  state: State,
  asked: Command,
  callerOf: (name: CallerName) => Caller,
  contested = false,
): Answer {
  if (asked.do === 'create') {
    const caller = callerOf(asked.caller);
    const owner = ownerOf(state, asked.owner);
    if (!caller.any && caller.owner !== owner) return refused(403, 'owner_forbidden');
    if (!isWithin(asked.scopes, caller.scopes)) return refused(403, 'scope_escalation');
    const { retry, ...request } = asked;
    return once(state, { caller, operation: 'create', request: JSON.stringify(request), retry }, () => {
      const root = state.keys.length;
      state.keys.push(
        newKey({
          owner,
          scopes: asked.scopes,
          created: state.now,
          ends: state.now + asked.days * DAY,
          graceStarts: asked.grace_starts,
          root,
        }),
      );
      return { status: 201, key: root, secret: 1 };
    });
  }

  const key = state.keys[asked.key];
  if (!key) throw new Error('a command is about a key that there is');

  if (asked.do === 'use') {
    const verdict = judge(state, key, asked.secret, asked.scope);
    if (verdict === 'valid') letIn(state, key, asked.key);
    return { status: verdict === 'valid' ? 200 : verdict === 'insufficient_scope' ? 403 : 401 };
  }
  if (asked.do === 'rotate-self') {
    if (judge(state, key, asked.secret, key.scopes[0]!.replaceAll('*', 'other')) !== 'valid')
      return { status: 401 };
    letIn(state, key, asked.key);
    const self: Caller = { id: String(key.id), owner: key.owner, any: false, scopes: key.scopes };
    const request = JSON.stringify(asked.request);
    return once(state, { caller: self, operation: 'rotate', request, retry: asked.retry }, () =>
      rotate(state, asked.key, self, asked.request, contested),
    );
  }

  const caller = callerOf(asked.caller);
  if (asked.do === 'verify') {
    const verdict = sees(caller, key) ? judge(state, key, asked.secret, asked.scope) : 'not_found';
    if (verdict === 'valid') letIn(state, key, asked.key);
    return { status: 200, code: verdict };
  }
  if (!sees(caller, key)) return refused(404, 'not_found');
  if (asked.do === 'rotate') {
    const request = JSON.stringify([asked.key, asked.request]);
    return once(state, { caller, operation: 'rotate', request, retry: asked.retry }, () =>
      rotate(state, asked.key, caller, asked.request, contested),
    );
  }
  if (asked.do === 'cancel') return cancel(state, asked.key, caller, contested);
  if (asked.do === 'update') return update(state, asked.key, caller, asked);
  if (key.revoked === null) {
    key.revoked = state.now;
    key.events.push('revoked');
  }
  return { status: 200, key: asked.key };
}

/** What has become due is done: ends are told, and pending keys whose time is over are dropped. */
export function sweep(state: State): void {
  const { now, keys } = state;
  for (const [number, key] of keys.entries()) {
    if (key.revoked !== null) continue;
    const drops = key.pendingUntil !== null && (key.ends === null || key.pendingUntil < key.ends);
    if (drops && now >= key.pendingUntil!) {
      retire(key, now);
      const parent = keys[key.parent!]!;
      if (parent.successor === number && isValid(parent, now)) {
        parent.successor = null;
        parent.nextGeneration = key.generation + 1;
        parent.events.push('updated');
      }
    } else if (key.ends !== null && now >= key.ends && !key.endTold) {
      key.endTold = true;
      key.events.push('expired');
    }
  }
}

/** Each run has owners of its own. */
export const ownerOf = ({ keys: _ }: State, number: number): string => `owner-${number}`;
