/**
 * DynamoDB's expressions, as far as access control needs them: which top-level attributes they name, and which
 * partition a key condition picks. Not a validator: what is not an expression at all, the engine refuses.
 */

export type AttributeNames = Record<string, string>;

/** Words of the grammar. All but REMOVE are reserved, so no attribute can be written with them. */
const keywords = {
  update: new Set(['set', 'remove', 'add', 'delete']),
  condition: new Set(['and', 'or', 'not', 'between', 'in']),
  projection: new Set<string>(),
};

const tokensOf = (expression: string): string[] =>
  expression.match(/[#:]?[\p{L}\p{N}_]+|<>|<=|>=|[^\s]/gu) ?? [];

/** `#x` as `ExpressionAttributeNames` says; an undeclared one stays as it is, so that no policy knows it. */
const nameOf = (token: string, names: AttributeNames): string =>
  token.startsWith('#') && Object.hasOwn(names, token) ? names[token]! : token;

const isName = (token: string): boolean => /^[#\p{L}_]/u.test(token);

/**
 * Top-level attributes that an expression names: `Address` for `Address.City` and for `#a.City`.
 */
export function attributesIn(
  expression: string,
  kind: keyof typeof keywords,
  names: AttributeNames = {},
): Set<string> {
  const found = new Set<string>();
  const tokens = tokensOf(expression);
  for (const [index, token] of tokens.entries()) {
    if (!isName(token)) continue;
    if (tokens[index - 1] === '.') continue;
    if (tokens[index + 1] === '(' && !token.startsWith('#')) continue; // a function
    if (keywords[kind].has(token.toLowerCase())) continue;
    found.add(nameOf(token, names));
  }
  return found;
}

/**
 * The `:values` that a key condition demands the partition key to be equal to, whichever side it stands on. DynamoDB
 * wants exactly one.
 */
export function partitionValuesIn(
  keyCondition: string,
  partitionKey: string,
  names: AttributeNames = {},
): string[] {
  const tokens = tokensOf(keyCondition);
  const found: string[] = [];
  for (const [index, token] of tokens.entries()) {
    if (token !== '=') continue;
    const sides = [tokens[index - 1], tokens[index + 1]];
    for (const [name, value] of [sides, sides.toReversed()]) {
      if (name === undefined || value === undefined || !isName(name)) continue;
      if (value.startsWith(':') && nameOf(name, names) === partitionKey) found.push(value);
    }
  }
  return found;
}
