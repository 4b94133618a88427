/** One resource of a synthesized template, as the laptop stack runs it. */
export interface DeployedResource {
  stack: string;
  /** Of another account than the laptop's own. */
  account?: string;
  logicalId: string;
  /** `AWS::Lambda::Function` and so on. */
  type: string;
  /** Properties with every intrinsic resolved. */
  properties: Record<string, unknown>;
  /** What `Ref` gives. */
  ref: string;
  /** What `Fn::GetAtt` gives, by attribute name. */
  attributes: Record<string, string>;
}

/**
 * What the laptop stack does with the properties of one resource type.
 *
 * A key is a property's dotted path; lists are passed over (`KeySchema.AttributeName` is that field of each
 * entry) and `*` stands for any one name (`Environment.Variables.*`). A path speaks for all below it, unless
 * longer paths below it are listed too: then only those are known. The value is `'used'`, or the reason why
 * the property has no effect on a laptop.
 */
export type SupportedType = { properties: Record<string, 'used' | { noEffect: string }> };

/** By CloudFormation resource type. */
export type Supported = Record<string, SupportedType>;

/** A type or property that the laptop stack does not know. */
export interface Unknown {
  stack: string;
  logicalId: string;
  type: string;
  /** Dotted path of the property; undefined when the whole type is unknown. */
  property?: string;
}

/** A property that is known to have no effect here, and why. */
export interface WithoutEffect {
  stack: string;
  logicalId: string;
  type: string;
  property: string;
  reason: string;
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const step = (known: string[][], name: string): string[][] =>
  known.filter(([first]) => first === name || first === '*').map((path) => path.slice(1));

/** Compares resources with what is supported; finds everything, rather than stopping at the first. */
export function checkSupported(
  resources: Iterable<Pick<DeployedResource, 'stack' | 'logicalId' | 'type' | 'properties'>>,
  supported: Supported,
): { unknown: Unknown[]; withoutEffect: WithoutEffect[] } {
  const unknown: Unknown[] = [];
  const withoutEffect: WithoutEffect[] = [];
  for (const { stack, logicalId, type, properties } of resources) {
    const known = Object.hasOwn(supported, type) ? supported[type] : undefined;
    if (known === undefined) {
      unknown.push({ stack, logicalId, type });
      continue;
    }
    const paths = Object.keys(known.properties).map((path) => path.split('.'));
    const missing = new Set<string>();
    const visit = (value: unknown, at: string[], candidates: string[][]): void => {
      // Only the path itself is listed, nothing below it: it speaks for the whole subtree.
      if (candidates.length > 0 && candidates.every((rest) => rest.length === 0)) return;
      if (Array.isArray(value)) {
        for (const entry of value) visit(entry, at, candidates);
      } else if (isRecord(value)) {
        for (const [name, child] of Object.entries(value)) {
          const below = step(candidates, name);
          if (below.length === 0) missing.add([...at, name].join('.'));
          else visit(child, [...at, name], below);
        }
      }
    };
    visit(properties, [], paths);
    for (const property of missing) unknown.push({ stack, logicalId, type, property });

    for (const [property, use] of Object.entries(known.properties)) {
      if (use !== 'used' && has(properties, property.split('.'))) {
        withoutEffect.push({ stack, logicalId, type, property, reason: use.noEffect });
      }
    }
  }
  return { unknown, withoutEffect };
}

function has(value: unknown, [name, ...rest]: string[]): boolean {
  if (name === undefined) return value !== undefined;
  if (Array.isArray(value)) return value.some((entry) => has(entry, [name, ...rest]));
  if (!isRecord(value)) return false;
  if (name === '*') return Object.values(value).some((entry) => has(entry, rest));
  return Object.hasOwn(value, name) && has(value[name], rest);
}

/** The sentence that names one unknown type or property. */
export function describeUnknown({ stack, logicalId, type, property }: Unknown): string {
  const place = `${stack}/${logicalId} (${type})`;
  return property === undefined
    ? `${place}: the laptop stack does not know this resource type`
    : `${place}: the laptop stack does not know the property ${property}`;
}
