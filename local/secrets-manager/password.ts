import { randomInt } from 'node:crypto';

/** https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetRandomPassword.html */
export interface PasswordRules {
  PasswordLength?: number;
  ExcludeCharacters?: string;
  ExcludeNumbers?: boolean;
  ExcludePunctuation?: boolean;
  ExcludeUppercase?: boolean;
  ExcludeLowercase?: boolean;
  IncludeSpace?: boolean;
  RequireEachIncludedType?: boolean;
}

const TYPES = [
  ['ExcludeLowercase', 'abcdefghijklmnopqrstuvwxyz'],
  ['ExcludeUppercase', 'ABCDEFGHIJKLMNOPQRSTUVWXYZ'],
  ['ExcludeNumbers', '0123456789'],
  ['ExcludePunctuation', '!"#$%&\'()*+,-./:;<=>?@[\\]^_`{|}~'],
] as const;
const DEFAULT_LENGTH = 32;
const LONGEST = 4096;

const oneOf = <Value>(values: readonly Value[]): Value => values[randomInt(values.length)]!;

/** A random password by these rules. @throws RangeError when no password can keep them */
export function randomPassword(rules: PasswordRules): string {
  const { PasswordLength: length = DEFAULT_LENGTH, ExcludeCharacters = '' } = rules;
  const types: string[] = TYPES.filter(([excluded]) => rules[excluded] !== true).map(
    ([, characters]) => characters,
  );
  if (rules.IncludeSpace) types.push(' ');
  const sets = types
    .map((characters) => [...characters].filter((character) => !ExcludeCharacters.includes(character)))
    .filter((characters) => characters.length > 0);
  const required = rules.RequireEachIncludedType === false ? [] : sets;
  if (!Number.isInteger(length) || length < 1 || length > LONGEST)
    throw new RangeError(`PasswordLength must be a whole number from 1 to ${LONGEST}`);
  if (sets.length === 0 || required.length > length)
    throw new RangeError('no password has this length and these characters');

  for (;;) {
    const characters = Array.from({ length }, () => oneOf(sets.flat()));
    // Drawn again until every type is in it: no place is more likely for any of them.
    if (required.every((set) => set.some((character) => characters.includes(character))))
      return characters.join('');
  }
}
