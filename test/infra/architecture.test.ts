import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { documentsOf } from '../role-documents.ts';
import { ofType, type Resource, type Resources, resourcesOf, synthesize } from './synthesize.ts';

const page = readFileSync(new URL('../../docs/architecture.md', import.meta.url), 'utf8');

/** The arrows of the page's flowchart, as `from --> to`; `A --> B --> C` is two. */
function drawn(): { solid: string[]; dotted: string[] } {
  const [, chart = ''] = page.match(/```mermaid\nflowchart LR\n([\s\S]*?)```/) ?? [];
  const solid: string[] = [];
  const dotted: string[] = [];
  for (const line of chart.split('\n')) {
    // Shapes and texts of nodes are for people: what is left is names and arrows.
    const parts = line
      .replace(/\|[^|]*\|/g, '')
      .replace(/(\w)(?:\[[^\]]*\]+|\(+[^)]*\)+|\{+[^}]*\}+)/g, '$1')
      .trim()
      .split(/ (-->|-\.->) /);
    for (let at = 0; at + 2 < parts.length; at += 2)
      (parts[at + 1] === '-->' ? solid : dotted).push(`${parts[at]} --> ${parts[at + 2]}`);
  }
  return { solid, dotted };
}

/** The table of operations: each with what it calls beside the table. */
const drawnOperations = (): string[] =>
  [...page.matchAll(/^\| ([A-Z]\w+) \| (.+) \|$/gm)].flatMap(([, name, calls]) =>
    calls!.split(', ').map((one) => `${name} --> ${one}`),
  );

const nameOf = (id: string): string => id.replace(/[0-9A-F]{8}$/, '').replace(/^AdminKeySecret.*/, 'Secrets');

/** Logical ids of everything that a part of a template names. */
function named(part: unknown): string[] {
  if (Array.isArray(part)) return part.flatMap(named);
  if (typeof part !== 'object' || part === null) return [];
  return Object.entries(part).flatMap(([name, value]) => {
    if (name === 'Ref') return [value as string];
    if (name === 'Fn::GetAtt') return [(value as string[])[0]!];
    return named(value);
  });
}

interface Statement {
  Action: string | string[];
  Resource: unknown;
}

/** Who a function may call, by the statements of its role. */
function calledBy(role: string, resources: Resources): string[] {
  const called = documentsOf(role, resources)
    .flatMap(({ Statement }): Statement[] => Statement)
    .flatMap(({ Action, Resource: resource }): string[] => {
      const actions = [Action].flat();
      const services = new Set(actions.map((action) => action.split(':')[0]));
      if (services.has('logs') || services.has('xray') || actions.includes('sqs:ReceiveMessage')) return [];
      if (services.has('apigateway')) return ['Caches'];
      const known = named(resource).filter((id) => resources[id]);
      if (known.length > 0) return known.map(nameOf);
      // Not one secret, but those with a mark.
      return [services.has('secretsmanager') ? 'Secrets' : actions.join(' ')];
    });
  return [...new Set(called)];
}

/** Every arrow that the template has; operations by their own names. */
function arrows(resources: Resources): { solid: string[]; dotted: string[]; operations: Set<string> } {
  const isFunction = (id: string) => resources[id]?.Type === 'AWS::Lambda::Function';
  const functionsIn = (part: unknown) => [...new Set(named(part).filter(isFunction))];
  const is = (type: string) => ofType(resources, type);
  const operations = new Set<string>();
  const solid: string[] = [];
  const dotted: string[] = [];
  const arrow = (from: string, to: string) => solid.push(`${nameOf(from)} --> ${nameOf(to)}`);
  const each = (
    type: string,
    from: (resource: Resource) => string,
    part: (resource: Resource) => unknown,
  ) => {
    for (const [, resource] of is(type))
      for (const id of functionsIn(part(resource))) arrow(from(resource), id);
  };

  for (const [, { Properties }] of is('AWS::ApiGateway::Method')) {
    const [api] = named(Properties.RestApiId);
    for (const id of functionsIn(Properties.Integration)) {
      if (api!.startsWith('Api')) operations.add(nameOf(id));
      arrow(api!, id);
    }
  }
  each(
    'AWS::ApiGateway::Authorizer',
    ({ Properties }) => named(Properties.RestApiId)[0]!,
    ({ Properties }) => Properties.AuthorizerUri,
  );
  each(
    'AWS::Lambda::EventSourceMapping',
    ({ Properties }) => named(Properties.EventSourceArn)[0]!,
    ({ Properties }) => Properties.FunctionName,
  );
  for (const [, { Properties }] of is('AWS::Events::Rule'))
    for (const target of Properties.Targets)
      arrow(Properties.EventPattern ? named(Properties.EventBusName)[0]! : 'Schedule', named(target.Arn)[0]!);
  for (const type of ['Custom::RekeyRoutes', 'Custom::RekeyApiKey'])
    each(
      type,
      () => 'CloudFormation',
      ({ Properties }) => Properties.ServiceToken,
    );
  each(
    'AWS::SecretsManager::RotationSchedule',
    () => 'SecretsManager',
    ({ Properties }) => Properties.RotationLambdaARN,
  );
  for (const [id, { Properties }] of is('AWS::Lambda::Function')) {
    for (const to of calledBy(named(Properties.Role)[0]!, resources)) arrow(id, to);
    for (const to of named(Properties.Environment))
      if (resources[to]?.Type === 'AWS::ApiGateway::RestApi') dotted.push(`${nameOf(id)} --> ${nameOf(to)}`);
  }
  return { solid: [...new Set(solid)], dotted: [...new Set(dotted)], operations };
}

describe('docs/architecture.md', () => {
  let is: ReturnType<typeof arrows>;
  beforeAll(() => {
    is = arrows(resourcesOf(synthesize().rekey));
  }, 120_000);

  /** All operations are one node, and what one of them does beyond the table stands in the page's table. */
  const isOfOperation = (one: string) => is.operations.has(one.split(' --> ')[0]!);
  const toOperation = (one: string) => is.operations.has(one.split(' --> ')[1]!);

  it('draws every arrow of the template, and no other', () => {
    const expected = is.solid.filter((one) => !isOfOperation(one) && !toOperation(one));
    const shared = ['Api --> Operations', 'Operations --> Table', 'product --> Authorizer'];
    expect(drawn().solid.toSorted()).toEqual([...expected, ...shared].toSorted());
  });

  it('draws every call of the API that a function is told the address of', () => {
    expect(is.dotted).not.toEqual([]);
    expect(drawn().dotted).toEqual(expect.arrayContaining(is.dotted));
  });

  it('lists what operations call beside the table', () => {
    expect(is.operations.size).toBeGreaterThan(30);
    const others = is.solid.filter((one) => isOfOperation(one) && !one.endsWith(' --> Table'));
    expect(drawnOperations().toSorted()).toEqual(others.toSorted());
    const table = is.solid.filter((one) => one.endsWith(' --> Table')).map((one) => one.split(' ')[0]!);
    const without = [...is.operations].filter((name) => !table.includes(name)).toSorted();
    expect(page).toContain(`${without.toReversed().join(' and ')} do not see the table at all.`);
  });
});
