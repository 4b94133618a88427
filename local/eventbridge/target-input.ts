import type { Json } from '../aws-front.ts';

export interface TargetInput {
  Input?: string;
  InputPath?: string;
  InputTransformer?: { InputPathsMap?: Record<string, string>; InputTemplate: string };
}

/** What a rule knows besides the event. */
export interface RuleFacts {
  arn: string;
  name: string;
  /** ISO 8601. */
  ingestedAt: string;
}

/**
 * Makes what a target gets of an event.
 * https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
 *
 * @returns the JSON text for one event
 * @throws Error for an input that is not known here
 */
export function readInput(input: TargetInput, place: string): (event: Json, rule: RuleFacts) => string {
  const { Input, InputPath, InputTransformer } = input;
  const given = [Input, InputPath, InputTransformer].filter((one) => one !== undefined);
  if (given.length > 1) throw new Error(`${place} has more than one of Input, InputPath, InputTransformer`);
  if (Input !== undefined) {
    parseJson(Input, `${place}: Input`);
    return () => Input;
  }
  if (InputPath !== undefined) {
    const select = readPath(InputPath, place);
    return (event) => JSON.stringify(select(event)) ?? '{}';
  }
  if (InputTransformer === undefined) return (event) => JSON.stringify(event);
  return readTransformer(InputTransformer, place);
}

function parseJson(text: string, place: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw new Error(`${place} is not JSON`);
  }
}

/** `$.detail.api_key_id`, `$.resources[0]`, `$['detail-type']`. */
function readPath(path: string, place: string): (event: unknown) => unknown {
  const steps: (string | number)[] = [];
  if (!path.startsWith('$')) throw new Error(`${place}: the path ${path} should begin with $`);
  for (let rest = path.slice(1); rest !== ''; ) {
    const [whole, name, quoted, index] =
      /^(?:\.([A-Za-z_][\w-]*)|\['([^']+)'\]|\[(\d{1,6})\])/.exec(rest) ?? [];
    if (whole === undefined)
      throw new Error(`${place}: the laptop stack does not know ${rest} in the path ${path}`);
    steps.push(index === undefined ? (name ?? quoted)! : Number(index));
    rest = rest.slice(whole.length);
  }
  return (event) =>
    steps.reduce<unknown>(
      (value, step) =>
        typeof value === 'object' && value !== null && Object.hasOwn(value, step)
          ? (value as Record<string | number, unknown>)[step]
          : undefined,
      event,
    );
}

type Value = (event: Json, rule: RuleFacts) => unknown;

/** https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html, "Predefined variables" */
const predefined: Record<string, Value> = {
  'aws.events.rule-arn': (_event, { arn }) => arn,
  'aws.events.rule-name': (_event, { name }) => name,
  'aws.events.event.ingestion-time': (_event, { ingestedAt }) => ingestedAt,
  'aws.events.event': (event) => event,
  'aws.events.event.json': (event) => event,
};

const VARIABLE = /<([\w.-]+)>/g;

function readTransformer(
  { InputPathsMap = {}, InputTemplate }: NonNullable<TargetInput['InputTransformer']>,
  place: string,
): (event: Json, rule: RuleFacts) => string {
  const variables = new Map<string, Value>(Object.entries(predefined));
  for (const [name, path] of Object.entries(InputPathsMap)) {
    if (name.toLowerCase().startsWith('aws'))
      throw new Error(`${place}: a variable's name can't begin with AWS: ${name}`);
    variables.set(name, readPath(path, place));
  }
  for (const [, name] of InputTemplate.matchAll(VARIABLE)) {
    if (!variables.has(name!)) throw new Error(`${place}: InputTemplate has <${name}>, which is not defined`);
  }
  const fill = (event: Json, rule: RuleFacts): string => {
    let filled = '';
    let end = 0;
    let isText = false;
    for (const match of InputTemplate.matchAll(VARIABLE)) {
      const before = InputTemplate.slice(end, match.index);
      // Between an odd number of quotes that are not escaped, it stands in a JSON text.
      for (const _quote of before.matchAll(/(?<!\\)"/g)) isText = !isText;
      const value = variables.get(match[1]!)!(event, rule);
      filled += before + (isText ? inText(value) : (JSON.stringify(value) ?? '""'));
      end = match.index + match[0].length;
    }
    return filled + InputTemplate.slice(end);
  };
  return (event, rule) => {
    const filled = fill(event, rule);
    // A template without quotes around it is sent as the text that it is; a target gets JSON.
    try {
      JSON.parse(filled);
      return filled;
    } catch {
      return JSON.stringify(filled);
    }
  };
}

/** Within a text: as the text, escaped; of an object AWS drops the quotes. */
function inText(value: unknown): string {
  if (value === undefined) return '';
  const text = typeof value === 'string' ? value : JSON.stringify(value).replaceAll('"', '');
  return JSON.stringify(text).slice(1, -1);
}
