import { readFileSync } from 'node:fs';
import { describe, expect, it } from '@jest/globals';
import { readAssembly } from '../../local/assembly.ts';
import { checkDeployment, deploy } from '../../local/deployment.ts';
import { createResolver, type Identity } from '../../local/intrinsics.ts';
import type { DeployedResource, Supported } from '../../local/resource.ts';
import { allSupported } from '../../local/supported.ts';
import { lambdaFunction, lambdaRole, world, writeAssembly } from './fixtures/assembly.ts';

const identities: Record<string, Identity> = {
  'Rekey/Table': { ref: 'Rekey-Table', attributes: { Arn: 'arn:table', StreamArn: 'arn:stream' } },
};

/** Resolves one value in the place of a property of `Rekey/It`. */
function resolve(value: unknown, template: Record<string, unknown> = {}): unknown {
  const directory = writeAssembly({
    Rekey: {
      template: {
        ...template,
        Resources: {
          Table: { Type: 'AWS::DynamoDB::Table' },
          It: { Type: 'A::B::C', Properties: { value } },
        },
      },
    },
    Other: {
      template: {
        Resources: {},
        Outputs: {
          Shared: {
            Value: { 'Fn::Join': ['-', ['a', 'b']] },
            Export: { Name: { 'Fn::Sub': '${AWS::StackName}:shared' } },
          },
          Plain: { Value: 'plain' },
        },
      },
    },
  });
  const resolver = createResolver({
    stacks: readAssembly(directory, world),
    ...world,
    identityOf: ({ stack, logicalId }) => identities[`${stack}/${logicalId}`],
  });
  return resolver.propertiesOf({ stack: 'Rekey', logicalId: 'It' })['value'];
}

describe('an intrinsic function', () => {
  const mappings = { Mappings: { Regions: { 'us-east-1': { zone: 'east' } } } };
  const conditions = {
    Parameters: { Mode: { Type: 'String', Default: 'development' } },
    Conditions: {
      IsDevelopment: { 'Fn::Equals': [{ Ref: 'Mode' }, 'development'] },
      IsHere: { 'Fn::Equals': [{ Ref: 'AWS::Region' }, 'us-east-1'] },
      Both: { 'Fn::And': [{ Condition: 'IsDevelopment' }, { Condition: 'IsHere' }] },
      Neither: { 'Fn::Not': [{ 'Fn::Or': [{ Condition: 'IsDevelopment' }, { Condition: 'IsHere' }] }] },
    },
  };
  it.each<[string, unknown, unknown, Record<string, unknown>?]>([
    ['Ref of a resource', { Ref: 'Table' }, 'Rekey-Table'],
    ['Ref of a pseudo parameter', { Ref: 'AWS::AccountId' }, '000000000000'],
    ['Ref of a parameter', { Ref: 'Mode' }, 'development', conditions],
    [
      'Ref of a list parameter',
      { Ref: 'Ids' },
      ['a', 'b'],
      { Parameters: { Ids: { Type: 'CommaDelimitedList', Default: 'a, b' } } },
    ],
    [
      'Ref of the bootstrap version',
      { Ref: 'V' },
      '30',
      {
        Parameters: {
          V: { Type: 'AWS::SSM::Parameter::Value<String>', Default: '/cdk-bootstrap/hnb659fds/version' },
        },
      },
    ],
    ['Fn::GetAtt as a list', { 'Fn::GetAtt': ['Table', 'Arn'] }, 'arn:table'],
    ['Fn::GetAtt as text', { 'Fn::GetAtt': 'Table.StreamArn' }, 'arn:stream'],
    [
      'Fn::Join in Fn::Join',
      { 'Fn::Join': ['', ['a', { 'Fn::Join': ['-', [1, { Ref: 'Table' }]] }]] },
      'a1-Rekey-Table',
    ],
    [
      'Fn::Sub with resources, attributes, literals',
      { 'Fn::Sub': '${Table}/${Table.Arn}/${!stays}/${AWS::Region}' },
      'Rekey-Table/arn:table/${stays}/us-east-1',
    ],
    [
      'Fn::Sub with variables',
      { 'Fn::Sub': ['${x}-${Table}', { x: { Ref: 'AWS::Partition' } }] },
      'aws-Rekey-Table',
    ],
    [
      'Fn::Select of Fn::Split',
      { 'Fn::Select': ['1', { 'Fn::Split': [':', { 'Fn::GetAtt': ['Table', 'Arn'] }] }] },
      'table',
    ],
    ['Fn::FindInMap', { 'Fn::FindInMap': ['Regions', { Ref: 'AWS::Region' }, 'zone'] }, 'east', mappings],
    ['Fn::If', { 'Fn::If': ['Both', 'yes', { Ref: 'not looked at' }] }, 'yes', conditions],
    ['Fn::If, not', { 'Fn::If': ['Neither', 'yes', 'no'] }, 'no', conditions],
    [
      'AWS::NoValue',
      { kept: 1, gone: { Ref: 'AWS::NoValue' }, list: [1, { Ref: 'AWS::NoValue' }] },
      { kept: 1, list: [1] },
    ],
    ['Fn::ImportValue', { 'Fn::ImportValue': 'Other:shared' }, 'a-b'],
    [
      'Fn::GetStackOutput',
      { 'Fn::GetStackOutput': { StackName: 'Other', OutputName: 'Plain', Region: { Ref: 'AWS::Region' } } },
      'plain',
    ],
    [
      'an IAM condition with two operators',
      { Condition: { StringEquals: { a: { Ref: 'Table' } }, Null: { b: 'true' } } },
      { Condition: { StringEquals: { a: 'Rekey-Table' }, Null: { b: 'true' } } },
    ],
  ])('is resolved: %s', (...[, value, expected, template]) => {
    expect(resolve(value, template)).toEqual(expected);
  });

  it.each<[string, unknown, string]>([
    [
      'a reference to nothing',
      { Ref: 'Nobody' },
      'Rekey/It.value.deep[0]: Rekey has neither a parameter nor a resource Nobody',
    ],
    [
      'an attribute that is not known',
      { 'Fn::GetAtt': ['Table', 'Size'] },
      'Table (AWS::DynamoDB::Table) has no attribute Size here',
    ],
    [
      'an attribute of every object',
      { 'Fn::GetAtt': ['Table', 'constructor'] },
      'has no attribute constructor',
    ],
    ['a name in Fn::Sub', { 'Fn::Sub': '${Nobody.Arn}' }, 'Nobody'],
    ['an import of nothing', { 'Fn::ImportValue': 'nobody' }, 'no stack exports nobody'],
    [
      'an output of another region',
      { 'Fn::GetStackOutput': { StackName: 'Other', OutputName: 'Plain', Region: 'eu-west-1' } },
      'there is no region eu-west-1 here',
    ],
    ['a function that is not known', { 'Fn::Cidr': ['10.0.0.0/8', 1, 1] }, 'does not know Fn::Cidr'],
    ['a dynamic reference', '{{resolve:ssm:/secret}}', 'dynamic reference'],
    ['two functions in one object', { 'Fn::Sub': 'a', Ref: 'Table' }, 'Fn::Sub stands beside Ref'],
    ['a choice out of range', { 'Fn::Select': [2, ['a']] }, 'there is no entry 2'],
  ])('that can’t be resolved stops the start with its place: %s', (_name, value, message) => {
    expect(() => resolve({ deep: [value] })).toThrow(message);
    expect(() => resolve({ deep: [value] })).toThrow('Rekey/It.value.deep[0]');
  });
});

describe('the check before a start', () => {
  const read = (resources: Record<string, unknown>) =>
    readAssembly(writeAssembly({ Rekey: { template: { Resources: resources } } }), world);

  it('names all unknown types and properties at once', () => {
    const stacks = read({
      Role: lambdaRole({ PermissionsBoundary: 'arn:x' }),
      Fn: lambdaFunction('abc', {
        SnapStart: { ApplyOn: 'None' },
        LoggingConfig: { LogFormat: 'JSON', Colour: 'red' },
      }),
      Topic: { Type: 'AWS::SNS::Topic' },
      Uses: {
        Type: 'AWS::Lambda::Permission',
        Properties: { Action: 'lambda:InvokeFunction', FunctionName: { Ref: 'Gone' }, Principal: '*' },
      },
    });
    let message = '';
    try {
      checkDeployment(stacks, world, allSupported);
    } catch (error) {
      message = (error as Error).message;
    }
    expect(
      message
        .split('\n')
        .slice(1)
        .map((line) => line.trim()),
    ).toEqual([
      'Rekey/Uses.FunctionName: Rekey has neither a parameter nor a resource Gone',
      'Rekey/Role (AWS::IAM::Role): the laptop stack does not know the property PermissionsBoundary',
      'Rekey/Fn (AWS::Lambda::Function): the laptop stack does not know the property SnapStart',
      'Rekey/Fn (AWS::Lambda::Function): the laptop stack does not know the property LoggingConfig.Colour',
      'Rekey/Topic (AWS::SNS::Topic): the laptop stack does not know this resource type',
    ]);
  });

  it('tells which properties have no effect, and why', () => {
    const { withoutEffect } = checkDeployment(
      read({ Role: lambdaRole({ Description: 'x' }) }),
      world,
      allSupported,
    );
    expect(withoutEffect).toEqual([
      {
        stack: 'Rekey',
        logicalId: 'Role',
        type: 'AWS::IAM::Role',
        property: 'Description',
        reason: 'a label for people',
      },
    ]);
  });

  it('has every property without effect in docs/laptop.md, with the reason', () => {
    const documented = readFileSync(new URL('../../docs/laptop.md', import.meta.url), 'utf8').split('\n');
    const rows = Object.entries(allSupported([])).flatMap(([type, { properties }]) =>
      Object.entries(properties).map(
        ([name, use]) => use !== 'used' && `| \`${type}\` | \`${name}\` | ${use.noEffect} |`,
      ),
    );
    expect(documented.filter((line) => /^\| `AWS::\w+::\w+` \| `/.test(line)).sort()).toEqual(
      rows.filter(Boolean).sort(),
    );
  });

  it('knows only what a longer path below a property lists, through lists and any names', () => {
    const supported: Supported = {
      'A::B::C': { properties: { 'List.Name': 'used', 'Map.*.Size': 'used', Whole: 'used' } },
    };
    const resource = {
      ...{ stack: 'Rekey', logicalId: 'It', type: 'A::B::C', ref: '', attributes: {} },
      properties: {
        List: [{ Name: 1 }, { Name: 1, More: 2 }],
        Map: { a: { Size: 1, Weight: 2 } },
        Whole: { any: [{ thing: 1 }] },
      },
    };
    const stacks = read({ It: { Type: 'A::B::C', Properties: resource.properties } });
    expect(() => checkDeployment(stacks, world, () => supported)).toThrow(/List\.More[\s\S]*Map\.a\.Weight/);
    expect(() => checkDeployment(stacks, world, () => supported)).not.toThrow(/Whole|List\.Name|Size/);
  });
});

describe('a deployment', () => {
  it('makes each resource after those it names, across stacks, and leaves out those whose condition fails', async () => {
    const directory = writeAssembly({
      Rekey: {
        template: {
          Conditions: { Never: { 'Fn::Equals': ['a', 'b'] } },
          Resources: {
            Policy: {
              Type: 'AWS::IAM::Policy',
              Properties: { PolicyName: 'p', PolicyDocument: {}, Roles: [{ Ref: 'Role' }] },
            },
            Role: lambdaRole(),
            Gone: { Type: 'AWS::SQS::Queue', Condition: 'Never' },
            Late: { Type: 'AWS::Logs::LogGroup', DependsOn: ['Fn', 'Gone'] },
            Fn: lambdaFunction('abc', {
              Environment: {
                Variables: { A: { 'Fn::GetStackOutput': { StackName: 'Orders', OutputName: 'A' } } },
              },
            }),
          },
        },
      },
      Orders: {
        template: {
          Resources: { Made: { Type: 'Custom::Made', Properties: {} } },
          Outputs: { A: { Value: { 'Fn::GetAtt': ['Made', 'Answer'] } } },
        },
      },
    });
    const made: DeployedResource[] = [];
    const outputs = await deploy(readAssembly(directory, world), world, made, async ({ type }) =>
      type === 'Custom::Made' ? { ref: 'physical', attributes: { Answer: '42' } } : undefined,
    );
    expect(made.map(({ logicalId }) => logicalId)).toEqual(['Role', 'Policy', 'Made', 'Fn', 'Late']);
    expect(made.find(({ logicalId }) => logicalId === 'Fn')).toMatchObject({
      ref: 'Rekey-Fn',
      attributes: { Arn: 'arn:aws:lambda:us-east-1:000000000000:function:Rekey-Fn' },
      properties: {
        Environment: { Variables: { A: '42' } },
        Role: 'arn:aws:iam::000000000000:role/Rekey-Role',
      },
    });
    expect(outputs['Orders']).toEqual({ A: '42' });
  });

  it('stops at resources that depend on each other', () => {
    const stacks = readAssembly(
      writeAssembly({
        Rekey: {
          template: {
            Resources: {
              A: { Type: 'AWS::Logs::LogGroup', DependsOn: 'B' },
              B: { Type: 'AWS::Logs::LogGroup', Properties: { LogGroupName: { Ref: 'A' } } },
            },
          },
        },
      }),
      world,
    );
    expect(() => checkDeployment(stacks, world, allSupported)).toThrow('Rekey/A → Rekey/B → Rekey/A');
  });
});
