import type { ApiKeyRecord } from '../../lib/api-key.schema.ts';
import { isValid as isReallyValid, statusOf } from '../../lib/api-key.ts';
import { digestOf } from '../../lib/key-format.ts';
import {
  type Answer,
  type Command,
  command as decide,
  isValid,
  type Key,
  type State,
  type Step,
  sweep,
} from './model.ts';
import { callerOf, type Run, type Sent, send, startRun, stored, type World } from './world.ts';

/** The number of a secret that no key has. */
const NEVER_TOLD = 0;

const START = Date.parse('2026-11-24T10:00:00.000Z');

/** What differs between two worlds, as a text that names the step. */
export class Difference extends Error {
  override readonly name = 'Difference';
}

interface Place {
  state: State;
  run: Run;
}

const copy = ({ state, run }: Place): Place => ({
  state: structuredClone(state),
  run: { ...run, ids: [...run.ids], texts: new Map(run.texts) },
});

const instant = (ms: number | null) => (ms === null ? null : new Date(ms).toISOString());
const sorted = (list: readonly string[]) => [...new Set(list)].sort().join(' ');

/** A scope that the key holds, for a request that only needs to be let in. */
const ownScope = ({ scopes }: Key) => scopes[0]!.replaceAll('*', 'other');

/** References to keys and secrets are any numbers; here they become those that there are, and that somebody was told. */
const resolve = (asked: Command, { state: { keys }, run }: Place): Command | undefined => {
  if (asked.do === 'create') return asked;
  if (keys.length === 0) return undefined;
  // The younger, the likelier.
  const key = keys.length - 1 - (asked.key % keys.length);
  if (!('secret' in asked)) return { ...asked, key };
  const { secrets } = keys[key]!;
  const secret = Math.max(1, secrets - (asked.secret % 4 === 3 ? 1 : 0));
  // The answer with this text was lost, so what is shown is a text that opens nothing.
  const isKnown = run.texts.has(`${key}/${secret}`);
  return { ...asked, key, secret: isKnown ? secret : NEVER_TOLD };
};

/** Lets the model do the command, and takes over what only the real thing knows: the new id and the new text. */
const follow = ({ state, run }: Place, asked: Command, sent: Sent | undefined, contested = false): Answer => {
  const answer = decide(state, asked, callerOf, contested);
  const { key, secret } = answer;
  if (answer.status === 201 && key !== undefined) {
    const id = sent?.id ?? state.keys[key]!.id;
    state.keys[key]!.id = id;
    run.ids[key] = id;
    if (sent?.text) run.texts.set(`${key}/${secret}`, sent.text);
  }
  return answer;
};

/** An answer as both sides can say it: with the ids of the keys, as far as they are known. */
const inWords = ({ status, code, named, ended }: Answer, { run }: Place): string =>
  JSON.stringify({
    status,
    code,
    named: named === undefined ? undefined : run.ids[named],
    ended: ended?.map((number) => run.ids[number]).sort(),
  });
const asAnswered = ({ answer: { status, code, named, ended } }: Sent): string =>
  JSON.stringify({ status, code, named, ended: ended?.toSorted() });

const wordsOf = (record: ApiKeyRecord, digest: string | undefined) => ({
  owner: record.owner_id,
  scopes: sorted(record.scopes),
  created: record.created_at,
  ends: record.expires_at,
  rotated: record.rotated_at,
  revoked: record.revoked_at,
  used: record.first_used_at,
  parent: record.parent_key_id,
  successor: record.successor_key_id,
  root: record.root_key_id,
  generation: record.generation,
  pending: record.pending_until,
  secret: digest,
});

/** Everything in which the table is not as the model says; takes over the ids of keys whose answer was lost. */
const differences = (
  { state, run }: Place,
  { records, trails }: Awaited<ReturnType<typeof stored>>,
): string[] => {
  const found: string[] = [];
  const byId = new Map(records.map((record) => [record.id, record]));
  for (const [number, key] of state.keys.entries()) {
    if (key.id !== undefined) continue;
    const parent = key.parent === null ? null : state.keys[key.parent]!.id;
    const lost = records.find(
      ({ id, parent_key_id, generation }) =>
        !run.ids.includes(id) && parent_key_id === parent && generation === key.generation,
    );
    key.id = lost?.id;
    run.ids[number] = lost?.id;
  }
  if (records.length !== state.keys.length)
    found.push(`there are ${records.length} keys, and should be ${state.keys.length}`);
  const idOf = (number: number | null) => (number === null ? null : state.keys[number]!.id);
  for (const [number, key] of state.keys.entries()) {
    const record = byId.get(String(key.id));
    if (!record) {
      found.push(`key ${number} is not there`);
      continue;
    }
    // It is the millisecond after another change of the same one.
    const used = Date.parse(record.first_used_at ?? '');
    if (key.used !== null && used > key.used && used < key.used + 50) key.used = used;
    const text = run.texts.get(`${number}/${key.secrets}`);
    const digest = text === undefined ? undefined : digestOf(text);
    const is = wordsOf(record, text === undefined ? undefined : record.digest);
    const should = {
      owner: `${run.name}-${key.owner}`,
      scopes: sorted(key.scopes),
      created: instant(key.created),
      ends: instant(key.ends),
      rotated: instant(key.rotated),
      revoked: instant(key.revoked),
      used: instant(key.used),
      parent: idOf(key.parent),
      successor: idOf(key.successor),
      root: idOf(key.root),
      generation: key.generation,
      pending: instant(key.pendingUntil),
      secret: digest,
    };
    for (const [field, value] of Object.entries(should))
      if (is[field as keyof typeof is] !== value)
        found.push(`key ${number}: ${field} is ${is[field as keyof typeof is]}, should be ${value}`);
    const told = (trails.get(record.id) ?? []).toSorted().join(' ');
    const events = key.events.toSorted().join(' ');
    if (told !== events) found.push(`key ${number}: its trail is [${told}], should be [${events}]`);
    if (isReallyValid(record, state.now) !== isValid(key, state.now))
      found.push(`key ${number} is ${isValid(key, state.now) ? 'not ' : ''}valid`);
  }
  return found;
};

/** What holds whatever is done; each is about the table alone, or about it before and after a step. */
const broken = (
  before: ApiKeyRecord[],
  after: ApiKeyRecord[],
  step: Step,
  then: number,
  now: number,
): string[] => {
  const found: string[] = [];
  const lines = Map.groupBy(after, ({ root_key_id }) => root_key_id);
  for (const [root, line] of lines) {
    const valid = line.filter((key) => isReallyValid(key, now));
    if (valid.filter((key) => key.successor_key_id === null).length > 1)
      found.push(`the line ${root} has two live ends`);
    if (valid.length > 2) found.push(`the line ${root} has ${valid.length} valid keys`);
    const generations = new Set(line.map(({ generation }) => generation));
    if (generations.size < line.length) found.push(`two keys of the line ${root} have one generation`);
  }
  const was = new Map(before.map((key) => [key.id, key]));
  for (const key of after) {
    const old = was.get(key.id);
    if (!old) continue;
    if (!isReallyValid(old, then) && isReallyValid(key, now)) found.push(`${key.id} came back`);
    const isMoved =
      key.expires_at === null
        ? old.expires_at !== null
        : old.expires_at !== null && key.expires_at > old.expires_at;
    const asked = step.do === 'together' ? step.commands : step.do === 'crash' ? [step.command] : [step];
    if (isMoved && !asked.some((one) => one.do === 'update' || one.do === 'cancel'))
      found.push(`the end of ${key.id} was moved from ${old.expires_at} to ${key.expires_at} by ${step.do}`);
    // Of simultaneous requests one may move the end, and the next rotate the key: the model says whether in that order.
    if (isMoved && key.successor_key_id !== null && step.do !== 'together')
      found.push(`the end of the rotated ${key.id} was moved`);
    if (old.revoked_at !== null && key.revoked_at !== old.revoked_at)
      found.push(`${key.id} was revoked twice`);
    if (old.first_used_at !== null && key.first_used_at !== old.first_used_at)
      found.push(`${key.id} was used for the first time twice`);
  }
  return found;
};

/** Ways from one status to another, as the arrows of docs/rotation.md: `active --> rotated`. */
const transitions = (before: ApiKeyRecord[], after: ApiKeyRecord[], then: number, now: number): string[] => {
  const was = new Map(before.map((key) => [key.id, statusOf(key, then)]));
  return after
    .map((key) => [was.get(key.id) ?? '[*]', statusOf(key, now)])
    .filter(([from, to]) => from !== to)
    .map((both) => both.join(' --> '));
};

/** Lines in which somebody holds the text of a key that works. */
const heldLines = ({ state, run }: Place): Set<number> =>
  new Set(
    state.keys
      .filter((key, number) => isValid(key, state.now) && run.texts.has(`${number}/${key.secrets}`))
      .map(({ root }) => root),
  );

/** Whether after this step a line may be left without a key whose text somebody has. */
const mayLose = (asked: Command[], sent: (Sent | undefined)[]): boolean =>
  asked.some(
    (one, index) =>
      one.do === 'revoke' ||
      one.do === 'update' ||
      // Its text was lost on the way: whoever sends it again with its Idempotency-Key gets another.
      ((one.do === 'rotate' || one.do === 'rotate-self' || one.do === 'cancel') &&
        (sent[index] === undefined || sent[index].answer.status >= 500)),
  );

const permutations = <T>(list: T[]): T[][] =>
  list.length < 2
    ? [list]
    : list.flatMap((one, index) =>
        permutations(list.filter((_, other) => other !== index)).map((rest) => [one, ...rest]),
      );

/** Every way in which commands sent together may have been done one after the other, given how they were answered. */
function* orders(place: Place, asked: Command[], sent: Sent[]): Generator<Place> {
  for (const order of permutations([...asked.keys()])) yield* inOrder(place, order, asked, sent);
}
function* inOrder(
  place: Place,
  [index, ...rest]: number[],
  asked: Command[],
  sent: Sent[],
): Generator<Place> {
  if (index === undefined) {
    yield place;
    return;
  }
  const answer = sent[index]!;
  // Not available: it may be done, or not.
  if (answer.answer.status >= 500) yield* inOrder(copy(place), rest, asked, sent);
  for (const contested of replaces(asked[index]!) ? [false, true] : [false]) {
    const next = copy(place);
    const expected = follow(next, asked[index]!, answer, contested);
    if (answer.answer.status >= 500 || inWords(expected, next) === asAnswered(answer))
      yield* inOrder(next, rest, asked, sent);
  }
}
const replaces = (asked: Command) => 'request' in asked && asked.request.replace_pending === true;

/** What a command that was cut off may have left: nothing, all of it, or that its key was let in. */
const leftBy = (place: Place, asked: Command, sent: Sent): Place[] => {
  const whole = copy(place);
  const expected = follow(whole, asked, sent.answer.status >= 500 ? undefined : sent);
  if (sent.answer.status < 500) return inWords(expected, whole) === asAnswered(sent) ? [whole] : [];
  const left = [copy(place), whole];
  if (asked.do === 'rotate-self') {
    const half = copy(place);
    const key = half.state.keys[asked.key]!;
    decide(half.state, { do: 'use', key: asked.key, secret: asked.secret, scope: ownScope(key) }, callerOf);
    left.push(half);
  }
  return left;
};

/**
 * Plays the steps in the model and in the real thing, and compares every answer, and after every step all keys, their
 * trails and who is let in.
 *
 * @param name of a run, of which the table has no other
 * @param seen gets every way from one status to another that a single request, the sweep or the time took
 * @returns how many steps were played; of commands that are sent together each counts
 * @throws Difference
 */
export async function play(
  world: World,
  name: string,
  steps: readonly Step[],
  settings: Pick<State, 'stackStarts'> = { stackStarts: 'now' },
  seen: Set<string> = new Set(),
): Promise<number> {
  process.env['REKEY_GRACE_STARTS'] = settings.stackStarts;
  let place: Place = {
    state: { now: START, keys: [], claims: {}, mostValid: 2, pendingDays: 7, ...settings },
    run: startRun(name),
  };
  let before: ApiKeyRecord[] = [];
  let played = 0;

  for (const [number, step] of steps.entries()) {
    const differ = (what: string): never => {
      throw new Difference(`step ${number} ${JSON.stringify(step)}: ${what}`);
    };
    const then = place.state.now;
    world.setTime(then);
    const scopeOf = (key: number) => ownScope(place.state.keys[key]!);
    const ask = (asked: Command) => send(world, place.run, asked, scopeOf);
    const held = heldLines(place);
    let asked: Command[] = [];
    let sent: Sent[] = [];
    let left: Place[] = [place];

    if (step.do === 'wait') {
      place.state.now += step.ms;
    } else if (step.do === 'sweep') {
      sweep(place.state);
      await world.sweep(place.state.now);
    } else if (step.do === 'together') {
      asked = step.commands.map((one) => resolve(one, place)).filter((one) => one !== undefined);
      sent = await Promise.all(asked.map(ask));
      left = [...orders(place, asked, sent)];
      if (left.length === 0) {
        const alone = copy(place);
        const expected = asked.map((one, index) => inWords(follow(alone, one, sent[index]), alone));
        const answered = sent.map(asAnswered);
        differ(`no order explains ${answered.join(' ')}; in the order sent it is ${expected.join(' ')}`);
      }
    } else {
      const one = resolve(step.do === 'crash' ? step.command : step, place);
      if (!one) continue;
      asked = [one];
      if (step.do === 'crash') world.failing(step);
      sent = [await ask(one)];
      world.failing(undefined);
      if (step.do === 'crash') left = leftBy(place, one, sent[0]!);
      else {
        const expected = follow(place, one, sent[0]);
        if (inWords(expected, place) !== asAnswered(sent[0]!))
          differ(`answered ${asAnswered(sent[0]!)}, should be ${inWords(expected, place)}`);
      }
    }
    played += Math.max(1, asked.length);
    const table = await stored(world, place.run);
    const explained = left.map((one) => ({ one, found: differences(one, table) }));
    const fits = explained.find(({ found }) => found.length === 0);
    if (!fits) differ(explained[0]?.found.join('; ') ?? 'the answer is none of those that a crash may leave');
    place = fits!.one;

    const now = place.state.now;
    const wrong = broken(before, table.records, step, then, now);
    if (wrong.length > 0) differ(wrong.join('; '));
    if (step.do !== 'wait' && !mayLose(asked, sent)) {
      const stillHeld = heldLines(place);
      for (const root of held)
        if (!stillHeld.has(root) && !isEnding(asked))
          differ(`nobody holds a key of the line ${root} any more`);
    }
    // Several requests, or a crash and its retries, are more than one arrow.
    if (step.do !== 'together' && step.do !== 'crash')
      for (const one of transitions(before, table.records, then, now)) seen.add(one);
    before = table.records;
  }
  return played;
}

/** A rotation without grace ends its key; so does whatever ends with it. */
const isEnding = (asked: Command[]) =>
  asked.some((one) => 'request' in one && one.request.grace_period_hours === 0);
