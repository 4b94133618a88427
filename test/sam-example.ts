import { readFileSync } from 'node:fs';
import { parse, type ScalarTag } from 'yaml';

// biome-ignore lint/suspicious/noExplicitAny: templates are JSON of any shape
type Json = any;

const read = (name: string): string => readFileSync(`examples/sam/${name}`, 'utf8');

/** Everything in a value, with itself. */
export const within = (value: Json): Json[] =>
  typeof value === 'object' && value !== null ? [value, ...Object.values(value).flatMap(within)] : [value];

/** `!Ref name` and its kin as `{"Ref": "name"}`. */
const tags = ['Ref', 'Sub', 'Select', 'Split', 'GetAtt'].flatMap((name): Json[] => {
  const key = name === 'Ref' ? name : `Fn::${name}`;
  const scalar: ScalarTag = { tag: `!${name}`, resolve: (text) => ({ [key]: text }) };
  return [
    scalar,
    { tag: `!${name}`, collection: 'seq', resolve: (list: Json) => ({ [key]: list.toJSON() }) },
  ];
});

/** examples/sam/template.yaml, with what AWS::Include puts in. */
export function samTemplate(): Json {
  const template: Json = parse(read('template.yaml'), { customTags: tags });
  for (const node of within(template)) {
    const include = node?.['Fn::Transform'];
    if (include?.Name !== 'AWS::Include') continue;
    delete node['Fn::Transform'];
    Object.assign(node, JSON.parse(read(include.Parameters.Location)));
  }
  return template;
}
