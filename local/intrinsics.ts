import { createHash } from 'node:crypto';
import type { AssemblyStack } from './assembly.ts';

/** What a resource is known by once it is there: what `Ref` and `Fn::GetAtt` give. */
export interface Identity {
  ref: string;
  attributes: Record<string, string>;
}

/** A value of a template that can't be resolved; the message begins with its place. */
export class UnresolvedValue extends Error {
  override name = 'UnresolvedValue';
  constructor(place: string, why: string) {
    super(`${place}: ${why}`);
  }
}

export interface ResourceKey {
  stack: string;
  logicalId: string;
}

export interface Resolver {
  /** Whether the resource's `Condition` holds (or it has none). */
  isIncluded(key: ResourceKey): boolean;
  /** The resources that must be there before this one: those it names and its `DependsOn`. */
  dependenciesOf(key: ResourceKey): ResourceKey[];
  /** @throws UnresolvedValue */
  propertiesOf(key: ResourceKey): Record<string, unknown>;
  /** The outputs of a stack whose condition holds. @throws UnresolvedValue */
  outputsOf(stack: string): Record<string, string>;
}

const NO_VALUE = Symbol('AWS::NoValue');

type Json = unknown;
type JsonObject = Record<string, Json>;
const isObject = (value: Json): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** A UUID that is the same for the same text: names must not change between two starts. */
export function stableUuid(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}

/** The ARN that CloudFormation gives a stack. */
export const stackId = (name: string, { account, region }: { account: string; region: string }): string =>
  `arn:aws:cloudformation:${region}:${account}:stack/${name}/${stableUuid(name)}`;

/** The intrinsic that an object is: its only key, `Ref` or `Fn::…`. */
function intrinsicOf(value: JsonObject, place: string): string | undefined {
  const keys = Object.keys(value);
  const intrinsic = keys.find((key) => key.startsWith('Fn::') || (key === 'Ref' && keys.length === 1));
  if (intrinsic !== undefined && keys.length > 1) {
    throw new UnresolvedValue(
      place,
      `${intrinsic} stands beside ${keys.filter((key) => key !== intrinsic).join(', ')}`,
    );
  }
  return intrinsic;
}

const text = (value: Json, place: string): string => {
  if (typeof value === 'string') return value;
  if (typeof value === 'number' || typeof value === 'boolean') return String(value);
  throw new UnresolvedValue(place, `should be text, is ${JSON.stringify(value)}`);
};

const list = (value: Json, place: string): Json[] => {
  if (Array.isArray(value)) return value;
  throw new UnresolvedValue(place, `should be a list, is ${JSON.stringify(value)}`);
};

const SUBSTITUTION = /\$\{(!?)([^{}]*)\}/g;

/**
 * Resolves the intrinsic functions of all stacks of an assembly.
 *
 * @param identityOf what a resource is known by, undefined as long as it is not there; a resource that is
 *   not there, an attribute it does not have and a function that is not known are never replaced by a guess
 */
export function createResolver(options: {
  stacks: AssemblyStack[];
  account: string;
  region: string;
  /** Values for the stacks' parameters, by name; a parameter without one has its default. */
  parameters?: Record<string, string>;
  identityOf(key: ResourceKey): Identity | undefined;
}): Resolver {
  const { account, region, identityOf, parameters = {} } = options;
  const stacks = new Map(options.stacks.map((stack) => [stack.name, stack]));

  const stackNamed = (name: string, place: string): AssemblyStack => {
    const stack = stacks.get(name);
    if (stack === undefined) throw new UnresolvedValue(place, `there is no stack ${name}`);
    return stack;
  };
  const resourceAt = ({ stack, logicalId }: ResourceKey) => {
    const resource = stacks.get(stack)?.template.Resources[logicalId];
    if (resource === undefined)
      throw new UnresolvedValue(`${stack}/${logicalId}`, 'there is no such resource');
    return resource;
  };

  const pseudo = ({ name: stack, account: own = account }: AssemblyStack): Record<string, Json> => ({
    'AWS::AccountId': own,
    'AWS::Region': region,
    'AWS::Partition': 'aws',
    'AWS::URLSuffix': 'amazonaws.com',
    'AWS::StackName': stack,
    'AWS::StackId': stackId(stack, { account: own, region }),
    'AWS::NotificationARNs': [],
    'AWS::NoValue': NO_VALUE,
  });

  const parameter = (stack: AssemblyStack, name: string, place: string): Json => {
    const { Type, Default } = stack.template.Parameters[name]!;
    const value = Object.hasOwn(parameters, name) ? parameters[name] : Default;
    if (value === undefined)
      throw new UnresolvedValue(place, `the parameter ${name} has neither a value nor a default`);
    if (Type.startsWith('AWS::SSM::Parameter::Value<')) {
      // The bootstrap stack's version is the one that every CDK template asks for.
      if (/^\/cdk-bootstrap\/[^/]+\/version$/.test(String(value))) return '30';
      const stored = storedParameter(stack, String(value), place);
      return text(resolve(stored.stack, stored.value, stored.place), place);
    }
    if (Type === 'CommaDelimitedList' || Type.startsWith('List<'))
      return String(value)
        .split(',')
        .map((entry) => entry.trim());
    return String(value);
  };

  const condition = (stack: AssemblyStack, name: string, place: string, trail: string[] = []): boolean => {
    if (trail.includes(name)) throw new UnresolvedValue(place, `the condition ${name} depends on itself`);
    if (!Object.hasOwn(stack.template.Conditions, name))
      throw new UnresolvedValue(place, `there is no condition ${name}`);
    const decide = (expression: Json): boolean => {
      const [operator, operands] = isObject(expression) ? (Object.entries(expression)[0] ?? []) : [];
      switch (operator) {
        case 'Condition':
          return condition(stack, text(operands, place), place, [...trail, name]);
        case 'Fn::Not':
          return !decide(list(operands, place)[0]);
        case 'Fn::And':
          return list(operands, place).every(decide);
        case 'Fn::Or':
          return list(operands, place).some(decide);
        case 'Fn::Equals': {
          const [left, right] = list(operands, place).map((operand) =>
            resolve(stack, operand, `${stack.name}/Conditions.${name}`),
          );
          return JSON.stringify(left) === JSON.stringify(right);
        }
        default:
          throw new UnresolvedValue(
            `${stack.name}/Conditions.${name}`,
            `the laptop stack does not know ${operator ?? JSON.stringify(expression)}`,
          );
      }
    };
    return decide(stack.template.Conditions[name]);
  };

  /** Those of the same account: no other sees its exports and parameters. */
  const stacksBeside = ({ account: own }: AssemblyStack): AssemblyStack[] =>
    [...stacks.values()].filter((other) => other.account === own);

  /** The output that an import names: its stack and its value, unresolved. */
  const exported = (
    from: AssemblyStack,
    name: string,
    place: string,
  ): { stack: AssemblyStack; value: Json; place: string } => {
    for (const stack of stacksBeside(from)) {
      for (const [id, { Export, Value, Condition }] of Object.entries(stack.template.Outputs)) {
        if (Export === undefined || (Condition && !condition(stack, Condition, place))) continue;
        const at = `${stack.name}/Outputs.${id}`;
        if (resolve(stack, Export.Name, at) === name) return { stack, value: Value, place: at };
      }
    }
    throw new UnresolvedValue(place, `no stack exports ${name}`);
  };
  /** The value, unresolved, of a parameter that one of the stacks puts into the SSM Parameter Store. */
  const storedParameter = (
    from: AssemblyStack,
    name: string,
    place: string,
  ): { stack: AssemblyStack; value: Json; place: string } => {
    for (const stack of stacksBeside(from)) {
      for (const [logicalId, { Type, Properties = {} }] of Object.entries(stack.template.Resources)) {
        const at = `${stack.name}/${logicalId}`;
        if (Type !== 'AWS::SSM::Parameter' || !isIncluded({ stack: stack.name, logicalId })) continue;
        if (resolve(stack, Properties['Name'], at) === name)
          return { stack, value: Properties['Value'], place: at };
      }
    }
    throw new UnresolvedValue(place, `no stack puts ${name} into the SSM Parameter Store`);
  };
  const stackOutput = (
    from: AssemblyStack,
    operand: Json,
    place: string,
  ): { stack: AssemblyStack; value: Json; place: string } => {
    if (!isObject(operand))
      throw new UnresolvedValue(place, 'Fn::GetStackOutput needs StackName and OutputName');
    const wanted = resolve(from, operand, place) as JsonObject;
    const unknown = Object.keys(wanted).filter((key) => !['StackName', 'OutputName', 'Region'].includes(key));
    if (unknown.length > 0)
      throw new UnresolvedValue(place, `Fn::GetStackOutput: the laptop stack does not know ${unknown}`);
    if (wanted['Region'] !== undefined && wanted['Region'] !== region) {
      throw new UnresolvedValue(place, `Fn::GetStackOutput: there is no region ${wanted['Region']} here`);
    }
    const stack = stackNamed(text(wanted['StackName'], place), place);
    if (stack.account !== from.account)
      throw new UnresolvedValue(place, `the stack ${stack.name} is in another account`);
    const id = text(wanted['OutputName'], place);
    const output = Object.hasOwn(stack.template.Outputs, id) ? stack.template.Outputs[id] : undefined;
    if (output === undefined) throw new UnresolvedValue(place, `the stack ${stack.name} has no output ${id}`);
    return { stack, value: output.Value, place: `${stack.name}/Outputs.${id}` };
  };

  const reference = (stack: AssemblyStack, name: string, place: string): Json => {
    const values = pseudo(stack);
    if (Object.hasOwn(values, name)) return values[name];
    if (Object.hasOwn(stack.template.Parameters, name)) return parameter(stack, name, place);
    return identity(stack, name, place).ref;
  };
  const attribute = (stack: AssemblyStack, logicalId: string, name: string, place: string): string => {
    const { attributes } = identity(stack, logicalId, place);
    if (!Object.hasOwn(attributes, name)) {
      throw new UnresolvedValue(
        place,
        `${logicalId} (${resourceAt({ stack: stack.name, logicalId }).Type}) has no attribute ${name} here`,
      );
    }
    return attributes[name]!;
  };
  const identity = (stack: AssemblyStack, logicalId: string, place: string): Identity => {
    if (!Object.hasOwn(stack.template.Resources, logicalId)) {
      throw new UnresolvedValue(place, `${stack.name} has neither a parameter nor a resource ${logicalId}`);
    }
    const found = identityOf({ stack: stack.name, logicalId });
    if (found === undefined) throw new UnresolvedValue(place, `${logicalId} is not there`);
    return found;
  };
  const attributeName = (operand: Json, place: string): [string, string] => {
    const parts =
      typeof operand === 'string'
        ? operand.split('.')
        : list(operand, place).map((part) => text(part, place));
    const [logicalId, ...rest] = parts;
    if (logicalId === undefined || rest.length === 0)
      throw new UnresolvedValue(place, 'Fn::GetAtt needs a resource and an attribute');
    return [logicalId, rest.join('.')];
  };
  const substitution = (operand: Json, place: string): [string, JsonObject] => {
    if (typeof operand === 'string') return [operand, {}];
    const [template, variables] = list(operand, place);
    if (!isObject(variables)) throw new UnresolvedValue(place, 'Fn::Sub needs a text and a map');
    return [text(template, place), variables];
  };

  function resolve(stack: AssemblyStack, value: Json, place: string): Json {
    if (typeof value === 'string') {
      if (value.includes('{{resolve:'))
        throw new UnresolvedValue(place, `the laptop stack does not know the dynamic reference ${value}`);
      return value;
    }
    if (Array.isArray(value)) {
      return value
        .map((entry, index) => resolve(stack, entry, `${place}[${index}]`))
        .filter((entry) => entry !== NO_VALUE);
    }
    if (!isObject(value)) return value;
    const intrinsic = intrinsicOf(value, place);
    if (intrinsic !== undefined) return call(stack, intrinsic, value[intrinsic], place);
    return Object.fromEntries(
      Object.entries(value)
        .map(([key, child]) => [key, resolve(stack, child, `${place}.${key}`)] as const)
        .filter(([, child]) => child !== NO_VALUE),
    );
  }

  function call(stack: AssemblyStack, intrinsic: string, operand: Json, place: string): Json {
    const operands = (): Json[] => list(resolve(stack, operand, place), place);
    switch (intrinsic) {
      case 'Ref':
        return reference(stack, text(operand, place), place);
      case 'Fn::GetAtt':
        return attribute(stack, ...attributeName(resolve(stack, operand, place), place), place);
      case 'Fn::Join': {
        const [separator, entries] = operands();
        return list(entries, place)
          .map((entry) => text(entry, place))
          .join(text(separator, place));
      }
      case 'Fn::Sub': {
        const [template, variables] = substitution(operand, place);
        return template.replace(SUBSTITUTION, (_whole, literal: string, name: string) => {
          if (literal) return `\${${name}}`;
          if (Object.hasOwn(variables, name)) return text(resolve(stack, variables[name], place), place);
          const dot = name.indexOf('.');
          return dot < 0
            ? text(reference(stack, name, place), place)
            : attribute(stack, name.slice(0, dot), name.slice(dot + 1), place);
        });
      }
      case 'Fn::Select': {
        const [index, entries] = operands();
        const chosen = list(entries, place)[Number(index)];
        if (chosen === undefined || chosen === null)
          throw new UnresolvedValue(place, `Fn::Select: there is no entry ${index}`);
        return chosen;
      }
      case 'Fn::Split': {
        const [separator, whole] = operands();
        return text(whole, place).split(text(separator, place));
      }
      case 'Fn::If': {
        const [name, yes, no] = list(operand, place);
        return resolve(stack, condition(stack, text(name, place), place) ? yes : no, place);
      }
      case 'Fn::FindInMap': {
        const [map, first, second] = operands().map((name) => text(name, place)) as [string, string, string];
        const found = stack.template.Mappings[map]?.[first]?.[second];
        if (found === undefined)
          throw new UnresolvedValue(place, `Fn::FindInMap: there is no ${map}.${first}.${second}`);
        return found;
      }
      case 'Fn::Base64':
        return Buffer.from(text(resolve(stack, operand, place), place)).toString('base64');
      case 'Fn::GetAZs':
        return ['a', 'b', 'c'].map(
          (zone) => `${text(resolve(stack, operand, place), place) || region}${zone}`,
        );
      case 'Fn::ImportValue': {
        const from = exported(stack, text(resolve(stack, operand, place), place), place);
        return resolve(from.stack, from.value, from.place);
      }
      case 'Fn::GetStackOutput': {
        const from = stackOutput(stack, operand, place);
        return resolve(from.stack, from.value, from.place);
      }
      default:
        throw new UnresolvedValue(place, `the laptop stack does not know ${intrinsic}`);
    }
  }

  /** Collects the resources that a value names; of an `Fn::If`, those of the branch that is taken. */
  function collect(stack: AssemblyStack, value: Json, place: string, into: ResourceKey[]): void {
    const add = (logicalId: string): void => {
      if (Object.hasOwn(stack.template.Resources, logicalId)) into.push({ stack: stack.name, logicalId });
    };
    if (Array.isArray(value)) {
      for (const entry of value) collect(stack, entry, place, into);
      return;
    }
    if (!isObject(value)) return;
    const intrinsic = intrinsicOf(value, place);
    const operand = intrinsic && value[intrinsic];
    switch (intrinsic) {
      case 'Ref': {
        const name = text(operand, place);
        const { Type, Default } = stack.template.Parameters[name] ?? {};
        if (
          Type?.startsWith('AWS::SSM::Parameter::Value<') &&
          !String(Default).startsWith('/cdk-bootstrap/')
        ) {
          const stored = storedParameter(stack, String(Default), place);
          collect(stored.stack, stored.value, stored.place, into);
        } else add(name);
        return;
      }
      case 'Fn::GetAtt':
        add(attributeName(operand, place)[0]);
        return;
      case 'Fn::Sub': {
        const [template, variables] = substitution(operand, place);
        for (const [, literal, name = ''] of template.matchAll(SUBSTITUTION)) {
          if (!literal && !Object.hasOwn(variables, name)) add(name.split('.')[0]!);
        }
        collect(stack, variables, place, into);
        return;
      }
      case 'Fn::If': {
        const [name, yes, no] = list(operand, place);
        collect(stack, condition(stack, text(name, place), place) ? yes : no, place, into);
        return;
      }
      case 'Fn::ImportValue': {
        const from = exported(stack, text(resolve(stack, operand, place), place), place);
        collect(from.stack, from.value, from.place, into);
        return;
      }
      case 'Fn::GetStackOutput': {
        const from = stackOutput(stack, operand, place);
        collect(from.stack, from.value, from.place, into);
        return;
      }
      default:
        for (const child of Object.values(value)) collect(stack, child, place, into);
    }
  }

  const isIncluded = (key: ResourceKey): boolean => {
    const { Condition } = resourceAt(key);
    const place = `${key.stack}/${key.logicalId}`;
    return Condition === undefined || condition(stackNamed(key.stack, place), Condition, place);
  };

  return {
    isIncluded,
    dependenciesOf(key) {
      const { Properties, DependsOn = [] } = resourceAt(key);
      const place = `${key.stack}/${key.logicalId}`;
      const found: ResourceKey[] = [];
      collect(stackNamed(key.stack, place), Properties ?? {}, place, found);
      for (const logicalId of [DependsOn].flat()) {
        const dependency = { stack: key.stack, logicalId };
        if (isIncluded(dependency)) found.push(dependency);
      }
      return found;
    },
    propertiesOf(key) {
      const place = `${key.stack}/${key.logicalId}`;
      return resolve(stackNamed(key.stack, place), resourceAt(key).Properties ?? {}, place) as JsonObject;
    },
    outputsOf(name) {
      const stack = stackNamed(name, name);
      const outputs: Record<string, string> = {};
      for (const [id, { Value, Condition }] of Object.entries(stack.template.Outputs)) {
        const place = `${name}/Outputs.${id}`;
        if (Condition === undefined || condition(stack, Condition, place))
          outputs[id] = text(resolve(stack, Value, place), place);
      }
      return outputs;
    },
  };
}
