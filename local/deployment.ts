import type { AssemblyStack, TemplateResource } from './assembly.ts';
import { identityOf } from './identity.ts';
import { createResolver, type Identity, type Resolver, type ResourceKey } from './intrinsics.ts';
import {
  checkSupported,
  type DeployedResource,
  describeUnknown,
  type Supported,
  type WithoutEffect,
} from './resource.ts';
import { isCustomResource } from './supported.ts';

/** A template that the laptop stack can't run: all that is wrong with it, one line each. */
export class UnknownInTemplate extends Error {
  override name = 'UnknownInTemplate';
  constructor(lines: string[]) {
    super(
      `The templates have what the laptop stack does not know:\n${lines.map((line) => `  ${line}`).join('\n')}`,
    );
  }
}

interface World {
  account: string;
  region: string;
  /** Where the services of AWS are. */
  aws: string;
}

const keyText = ({ stack, logicalId }: ResourceKey): string => `${stack}/${logicalId}`;

/** The resources of all stacks whose conditions hold, each after those it depends on. @throws Error for a circle */
function inOrder(stacks: AssemblyStack[], resolver: Resolver): ResourceKey[] {
  const order: ResourceKey[] = [];
  const done = new Set<string>();
  const visit = (key: ResourceKey, trail: string[]): void => {
    const text = keyText(key);
    if (done.has(text)) return;
    if (trail.includes(text))
      throw new Error(`resources depend on each other: ${[...trail, text].join(' → ')}`);
    for (const dependency of resolver.dependenciesOf(key)) visit(dependency, [...trail, text]);
    done.add(text);
    order.push(key);
  };
  for (const stack of stacks) {
    for (const logicalId of Object.keys(stack.template.Resources)) {
      const key = { stack: stack.name, logicalId };
      if (resolver.isIncluded(key)) visit(key, []);
    }
  }
  return order;
}

/** Where a stack is, which may be in an account of its own. */
function placeOf(
  stacks: AssemblyStack[],
  name: string,
  world: World,
): World & { other: { account?: string } } {
  const account = stacks.find((stack) => stack.name === name)?.account;
  return account === undefined ? { ...world, other: {} } : { ...world, account, other: { account } };
}

const definitionOf = (stacks: AssemblyStack[], { stack, logicalId }: ResourceKey): TemplateResource =>
  stacks.find(({ name }) => name === stack)!.template.Resources[logicalId]!;

/** Stands for what a custom resource will answer; never leaves the check. */
const ANY_ATTRIBUTE: Record<string, string> = new Proxy(
  {},
  {
    get: (_target, name) => `(${String(name)})`,
    getOwnPropertyDescriptor: () => ({ configurable: true, enumerable: true, value: '' }),
  },
);

/**
 * Resolves everything once before anything runs, with stand-ins for what custom resources will answer.
 *
 * @throws UnknownInTemplate with all unknown types and properties and all values that can't be resolved
 */
export function checkDeployment(
  stacks: AssemblyStack[],
  world: World,
  supportedBy: (types: Iterable<string>) => Supported,
): { resources: DeployedResource[]; withoutEffect: WithoutEffect[] } {
  const problems: string[] = [];
  const identities = new Map<string, Identity>();
  const resolver = createResolver({ stacks, ...world, identityOf: (key) => identities.get(keyText(key)) });
  const resources: DeployedResource[] = [];
  for (const key of inOrder(stacks, resolver)) {
    const { Type: type } = definitionOf(stacks, key);
    const place = placeOf(stacks, key.stack, world);
    let properties: Record<string, unknown> = {};
    try {
      properties = resolver.propertiesOf(key);
    } catch (error) {
      problems.push((error as Error).message);
    }
    const identity = isCustomResource(type)
      ? { ref: `(${keyText(key)})`, attributes: ANY_ATTRIBUTE }
      : // An unknown type is told once, not by each resource that names it.
        (identityOf({ ...key, type, properties }, place) ?? {
          ref: `(${keyText(key)})`,
          attributes: ANY_ATTRIBUTE,
        });
    identities.set(keyText(key), identity);
    resources.push({ ...key, ...place.other, type, properties, ...identity });
  }
  const { unknown, withoutEffect } = checkSupported(
    resources,
    supportedBy(resources.map(({ type }) => type)),
  );
  problems.push(...unknown.map(describeUnknown));
  if (problems.length > 0) throw new UnknownInTemplate(problems);
  return { resources, withoutEffect };
}

/**
 * Deploys the resources of all stacks, one after the other.
 *
 * @param into gets each resource as soon as it is there
 * @param create does what a resource needs; for a custom resource it gives its identity
 * @returns the outputs, by stack
 */
export async function deploy(
  stacks: AssemblyStack[],
  world: World,
  into: DeployedResource[],
  create: (resource: DeployedResource, definition: TemplateResource) => Promise<Identity | undefined>,
): Promise<Record<string, Record<string, string>>> {
  const identities = new Map<string, Identity>();
  const resolver = createResolver({ stacks, ...world, identityOf: (key) => identities.get(keyText(key)) });
  for (const key of inOrder(stacks, resolver)) {
    const definition = definitionOf(stacks, key);
    const properties = resolver.propertiesOf(key);
    const place = placeOf(stacks, key.stack, world);
    const named = identityOf({ ...key, type: definition.Type, properties }, place);
    const resource = {
      ...{ ...key, ...place.other, type: definition.Type, properties },
      ...(named ?? { ref: '', attributes: {} }),
    };
    const created = await create(resource, definition);
    Object.assign(resource, created);
    identities.set(keyText(key), { ref: resource.ref, attributes: resource.attributes });
    into.push(resource);
  }
  return Object.fromEntries(stacks.map(({ name }) => [name, resolver.outputsOf(name)]));
}
