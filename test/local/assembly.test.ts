import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from '@jest/globals';
import { AssemblyError, readAssemblies, readAssembly } from '../../local/assembly.ts';
import { lambdaFunction, temporaryDirectory, world, writeAssembly } from './fixtures/assembly.ts';

const empty = { template: { Resources: {} } };

describe('a cloud assembly', () => {
  it('gives each stack after those it depends on, wherever it stands in the manifest', () => {
    const directory = writeAssembly({ Orders: { ...empty, dependencies: ['Rekey'] }, Rekey: empty });
    expect(readAssembly(directory, world).map(({ name }) => name)).toEqual(['Rekey', 'Orders']);
  });

  it('finds an asset by the key that the template names', () => {
    const directory = writeAssembly({
      Rekey: { template: { Resources: { Fn: lambdaFunction('abc') } }, assets: { abc: { 'index.mjs': '' } } },
    });
    const [stack] = readAssembly(directory, world);
    expect(stack?.assets.get('abc.zip')).toEqual({ path: join(directory, 'asset.abc'), isFolder: true });
  });

  it('may stand beside others, after whose stacks its own come', () => {
    const [product, own] = [writeAssembly({ Rekey: empty }), writeAssembly({ Parcels: empty })];
    expect(readAssemblies([product, own], world).map(({ name }) => name)).toEqual(['Rekey', 'Parcels']);
    expect(() => readAssemblies([product, product], world)).toThrow('two stacks have the name Rekey');
  });

  it('is refused when stacks depend on each other', () => {
    const directory = writeAssembly({
      A: { ...empty, dependencies: ['B'] },
      B: { ...empty, dependencies: ['A'] },
    });
    expect(() => readAssembly(directory, world)).toThrow('A → B → A');
  });

  it('is refused when a stack is for another Region, whose name is in its ARNs', () => {
    const directory = writeAssembly({ Rekey: { ...empty, environment: 'aws://123456789012/eu-west-1' } });
    expect(() => readAssembly(directory, world)).toThrow(
      'Rekey was synthesized for aws://123456789012/eu-west-1',
    );
  });

  it('says which account a stack is for, if it is not the laptop’s own', () => {
    const accountOf = (environment: string) =>
      readAssembly(writeAssembly({ Rekey: { ...empty, environment } }), world)[0]!.account;
    expect(accountOf('aws://111111111111/us-east-1')).toBe('111111111111');
    expect(accountOf(`aws://${world.account}/us-east-1`)).toBeUndefined();
    expect(accountOf('aws://unknown-account/us-east-1')).toBeUndefined();
  });

  it.each([
    [
      'a template section',
      { Transform: 'AWS::LanguageExtensions', Resources: {} },
      'template section Transform',
    ],
    [
      'a resource attribute',
      { Resources: { Fn: { Type: 'A::B::C', CreationPolicy: {} } } },
      'Rekey/Fn: the laptop stack does not know the resource attribute CreationPolicy',
    ],
  ])('is refused for %s that is not known', (_what, template, message) => {
    expect(() => readAssembly(writeAssembly({ Rekey: { template } }), world)).toThrow(message);
  });

  it('is refused for an artifact type that is not known', () => {
    const directory = writeAssembly({ Rekey: empty });
    const artifacts = { Stage: { type: 'cdk:cloud-assembly' } };
    writeFileSync(join(directory, 'manifest.json'), JSON.stringify({ artifacts }));
    expect(() => readAssembly(directory, world)).toThrow('artifact type cdk:cloud-assembly (Stage)');
  });

  it('is refused with what to do when the directory is not one', () => {
    const directory = join(temporaryDirectory(), 'nothing');
    mkdirSync(directory);
    expect(() => readAssembly(directory, world)).toThrow(AssemblyError);
    expect(() => readAssembly(directory, world)).toThrow('no manifest.json');
  });
});
