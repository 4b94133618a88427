import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { describe, expect, it } from '@jest/globals';
import { made, make } from '../../examples/write-openapi.ts';
import { parameterName } from '../../infra/rekey-reference.ts';
import { routesHash } from '../../lib/routes.ts';
import { samTemplate, within } from '../sam-example.ts';

// biome-ignore lint/suspicious/noExplicitAny: templates are JSON of any shape
type Json = any;
// Not imported: its types bring those of browsers along.
const { parse: parseHcl }: { parse(name: string, text: string): Promise<Json> } = createRequire(
  import.meta.url,
)('@cdktn/hcl2json');
const read = (path: string) => readFileSync(`examples/${path}`, 'utf8');
const readJson = (path: string): Json => JSON.parse(read(path));

const placeholders = (text: string): string[] =>
  [...text.matchAll(/\$\{([^}!]+)\}/g)].map(([, name]) => name ?? '');

describe.each(Object.entries(made))('examples/%s', (file, options) => {
  it('is what rekey-openapi makes of the document: npm run examples', () => {
    expect(read(file)).toBe(make(options));
  });
});

describe.each(['sam', 'terraform'])('the registration of examples/%s', (example) => {
  it('names its routes by their hash', () => {
    const { Hash, Routes } = readJson(`${example}/invoices.registration.json`);
    expect(routesHash(JSON.parse(Routes))).toBe(Hash);
  });
});

describe('examples/sam/template.yaml', () => {
  const whole = samTemplate();
  const { Parameters, Resources } = whole;
  const nodes = within(whole);

  it('refers to nothing that is not there', () => {
    const named = nodes.flatMap((node) => [
      ...(typeof node?.Ref === 'string' ? [node.Ref] : []),
      ...(typeof node?.['Fn::Sub'] === 'string' ? placeholders(node['Fn::Sub']) : []),
    ]);
    expect(named.length).toBeGreaterThan(10);
    const known = [...Object.keys(Parameters), ...Object.keys(Resources)];
    for (const name of named)
      expect(name.startsWith('AWS::') || known.includes(name.split('.')[0])).toBe(true);
  });

  it('finds Rekey where its stack publishes it', () => {
    expect(Parameters.RekeyAuthorizer.Default).toBe(parameterName('Rekey', 'authorizer'));
    expect(Parameters.RekeyRegisterRoutes.Default).toBe(parameterName('Rekey', 'register-routes'));
    expect(Resources.Routes.Properties.ServiceToken).toEqual({ Ref: 'RekeyRegisterRoutes' });
  });

  it('serves the protected document, and names the routes once they are registered', () => {
    const { Body } = Resources.Api.Properties;
    expect(Body.paths['/invoices'].post.security).toEqual([{ rekey: [] }]);
    expect(
      Body.components.securitySchemes.rekey['x-amazon-apigateway-authorizer'].enableSimpleResponses,
    ).toBe(false);
    expect(Resources.Routes.Properties).toMatchObject({
      RestApiId: { Ref: 'Api' },
      Hash: expect.any(String),
    });
    expect(Resources.Stage.Properties.StageVariables).toEqual({
      rekeyRoutes: { 'Fn::Select': [1, { 'Fn::Split': ['/', { Ref: 'Routes' }] }] },
    });
  });
});

describe('examples/terraform/main.tf', () => {
  const text = read('terraform/main.tf');
  const load = (): Promise<Json> => parseHcl('main.tf', text);

  it('refers to nothing that is not there', async () => {
    const { variable, data, resource, locals } = await load();
    const of = (kinds: Json, prefix: string) =>
      Object.entries(kinds).flatMap(([kind, each]) =>
        Object.keys(each as Json).map((name) => `${prefix}${kind}.${name}`),
      );
    const known = [
      ...Object.keys(variable).map((name) => `var.${name}`),
      ...Object.keys(locals[0]).map((name) => `local.${name}`),
      ...of(data, 'data.'),
      ...of(resource, ''),
    ];
    const expressions = within(await load())
      .filter((value) => typeof value === 'string')
      .join('\n');
    const named = [...expressions.matchAll(/\b(?:var|local)\.\w+|\b(?:data\.)?aws_\w+\.\w+/g)].map(
      ([name]) => name,
    );
    expect(named.length).toBeGreaterThan(20);
    for (const name of named) expect(known).toContain(name);
  });

  it('gives the document everything that it leaves open, and nothing else', () => {
    const given = /templatefile\("\$\{path\.module\}\/(invoices\.protected\.json)", \{(.*?)\n\s*\}\)/s.exec(
      text,
    );
    const names = [...(given?.[2] ?? '').matchAll(/^\s*(\w+)\s*=/gm)].map(([, name]) => name);
    expect(names.toSorted()).toEqual([...new Set(placeholders(read(`terraform/${given?.[1]}`)).toSorted())]);
  });

  it('finds Rekey where its stack publishes it', async () => {
    const { data, variable } = await load();
    const named = Object.values(data.aws_ssm_parameter).map(([{ name }]: Json) =>
      name.replace('${var.rekey_stack}', variable.rekey_stack[0].default),
    );
    expect(named).toEqual([parameterName('Rekey', 'authorizer'), parameterName('Rekey', 'register-routes')]);
  });

  it('names the routes in the stage once they are registered', async () => {
    const { resource } = await load();
    expect(resource.aws_api_gateway_stage.v1[0].variables).toEqual({
      rekeyRoutes: '${aws_cloudformation_stack.routes.outputs["Hash"]}',
    });
  });
});
