import { BlockList, isIP } from 'node:net';

/** A pattern of EventBridge's language, as rules and event source mappings have it. */
export type Pattern = { [field: string]: unknown };

type Test = (value: unknown) => boolean;

/**
 * Makes a test of a pattern. https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
 *
 * @throws Error for what is no pattern, or has an operator that is not known here
 */
export function compilePattern(pattern: unknown, place = 'the pattern'): Test {
  if (!isObject(pattern) || Object.keys(pattern).length === 0)
    throw new Error(`${place} should be an object with fields, is ${JSON.stringify(pattern)}`);
  const tests = Object.entries(pattern).map(([field, wanted]): Test => {
    const at = `${place}.${field}`;
    if (field === '$or') {
      if (!Array.isArray(wanted) || wanted.length < 2)
        throw new Error(`${at} should be a list of two patterns or more`);
      const choices = wanted.map((choice) => compilePattern(choice, at));
      return (event) => choices.some((test) => test(event));
    }
    if (Array.isArray(wanted)) {
      if (wanted.length === 0) throw new Error(`${at} should have an entry`);
      const choices = wanted.map((choice) => ({
        test: compileValue(choice, at),
        isAbsence: isObject(choice) && choice['exists'] === false,
      }));
      return (event) => {
        const value = isObject(event) && Object.hasOwn(event, field) ? event[field] : undefined;
        // Of a list any one entry may match; an empty list is as good as none.
        const entries = Array.isArray(value) ? value.flat(Number.POSITIVE_INFINITY) : [value];
        const values = entries.length === 0 ? [undefined] : entries;
        return choices.some(({ test, isAbsence }) => (isAbsence ? values.every(test) : values.some(test)));
      };
    }
    const below = compilePattern(wanted, at);
    return (event) => {
      const value = isObject(event) && Object.hasOwn(event, field) ? event[field] : {};
      return Array.isArray(value) ? value.some(below) : below(value);
    };
  });
  return (event) => tests.every((test) => test(event));
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isText = (value: unknown): value is string => typeof value === 'string';

/** One entry of a field's list: a value, or an operator. `undefined` stands for a field that is not there. */
function compileValue(wanted: unknown, place: string): Test {
  if (!isObject(wanted)) {
    if (Array.isArray(wanted)) throw new Error(`${place} has a list in a list`);
    return (value) => value === wanted;
  }
  const [operator, ...others] = Object.keys(wanted);
  const operand = operator === undefined ? undefined : wanted[operator];
  const unknown = (): never => {
    throw new Error(`${place}: the laptop stack does not know ${JSON.stringify(wanted)} in a pattern`);
  };
  if (others.length > 0) unknown();
  const ignoresCase = isObject(operand) && Object.keys(operand).join() === 'equals-ignore-case';
  const text = ignoresCase ? operand['equals-ignore-case'] : operand;
  const lower = (value: string): string => (ignoresCase ? value.toLowerCase() : value);
  switch (operator) {
    case 'exists':
      if (typeof operand !== 'boolean') unknown();
      // "Exists matching only works on leaf nodes. It does not work on intermediate nodes."
      return (value) => (value !== undefined && !isObject(value)) === operand;
    case 'prefix':
      if (!isText(text)) return unknown();
      return (value) => isText(value) && lower(value).startsWith(lower(text));
    case 'suffix':
      if (!isText(text)) return unknown();
      return (value) => isText(value) && lower(value).endsWith(lower(text));
    case 'equals-ignore-case':
      if (!isText(operand)) return unknown();
      return (value) => isText(value) && value.toLowerCase() === operand.toLowerCase();
    case 'wildcard': {
      // A backslash before * or \ makes it a character as any other; EventBridge refuses it elsewhere, and ** too.
      if (!isText(operand) || !/^(?:[^\\*]|\\[\\*]|\*(?!\*))*$/s.test(operand)) return unknown();
      const expression = new RegExp(
        `^${operand.replace(/\\?[\\*]|[$^.+()|[\]{}?]/g, (found) =>
          found === '*' ? '.*' : found.length === 2 ? found : `\\${found}`,
        )}$`,
        's',
      );
      return (value) => isText(value) && expression.test(value);
    }
    case 'cidr': {
      const [network = '', bits = ''] = isText(operand) ? operand.split('/') : unknown();
      const family = isIP(network);
      if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) unknown();
      const kind = (ip: string) => (isIP(ip) === 4 ? 'ipv4' : 'ipv6');
      const range = new BlockList();
      range.addSubnet(network, Number(bits), kind(network));
      return (value) => isText(value) && isIP(value) === family && range.check(value, kind(value));
    }
    case 'anything-but': {
      // A value that is there, and none of these.
      const none = [operand].flat().map((one) => {
        if (isObject(one)) {
          const [inner] = Object.keys(one);
          // {"anything-but": {"prefix": ["a", "b"]}}
          return [one[inner!]].flat().map((each) => compileValue({ [inner!]: each }, place));
        }
        return compileValue(one, place);
      });
      return (value) => value !== undefined && !none.flat().some((test) => test(value));
    }
    case 'numeric': {
      const comparisons = Array.isArray(operand) ? operand : unknown();
      if (comparisons.length !== 2 && comparisons.length !== 4) unknown();
      const tests: ((value: number) => boolean)[] = [];
      for (let index = 0; index < comparisons.length; index += 2) {
        const compare = numeric[String(comparisons[index])] ?? unknown();
        const limit = comparisons[index + 1];
        if (typeof limit !== 'number') unknown();
        tests.push((value) => compare(value, limit as number));
      }
      return (value) => typeof value === 'number' && tests.every((test) => test(value));
    }
    default:
      return unknown();
  }
}

const numeric: Record<string, (value: number, limit: number) => boolean> = {
  '=': (value, limit) => value === limit,
  '<': (value, limit) => value < limit,
  '<=': (value, limit) => value <= limit,
  '>': (value, limit) => value > limit,
  '>=': (value, limit) => value >= limit,
};
