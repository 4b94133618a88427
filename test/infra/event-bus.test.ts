import { describe, expect, it } from '@jest/globals';
import { ofType, resourcesOf, synthesize } from './synthesize.ts';

const resources = resourcesOf(synthesize().rekey);
const policies = (settings: Parameters<typeof synthesize>[0]) =>
  ofType(resourcesOf(synthesize(settings).rekey), 'AWS::Events::EventBusPolicy').map(
    ([, { Properties }]) => Properties.Statement,
  );

describe('the bus', () => {
  it('is one of its own, and lets nobody in by default', () => {
    const buses = ofType(resources, 'AWS::Events::EventBus');
    expect(buses.map(([, { Properties }]) => Properties.Name)).toEqual(['Rekey-events']);
    expect(policies({})).toEqual([]);
  });

  it('lets accounts and organizations make rules of their own, and change no others', () => {
    const [account, organization] = policies({
      eventBusAccountIds: ['111122223333'],
      eventBusOrganizationIds: ['o-a1b2c3d4e5'],
    });
    expect(JSON.stringify(account.Principal)).toContain(':iam::111122223333:root');
    expect(account.Condition).toEqual({
      StringEqualsIfExists: { 'events:creatorAccount': '${aws:PrincipalAccount}' },
    });
    expect(organization).toMatchObject({
      Principal: '*',
      Condition: {
        StringEquals: { 'aws:PrincipalOrgID': 'o-a1b2c3d4e5' },
        StringEqualsIfExists: { 'events:creatorAccount': '${aws:PrincipalAccount}' },
      },
    });
    for (const { Action, Resource } of [account, organization]) {
      expect(Action).not.toContain('events:PutEvents');
      expect(Action.every((action: string) => /Rule$|Targets$/.test(action))).toBe(true);
      expect(JSON.stringify(Resource)).toMatch(/:rule\/.*\/\*/);
    }
  });
});

describe('the publisher', () => {
  const mappings = ofType(resources, 'AWS::Lambda::EventSourceMapping').filter(([, { Properties }]) =>
    JSON.stringify(Properties.FunctionName).includes('PublishEvents'),
  );

  it('reads the stream in order, from its beginning, and gives up single records only', () => {
    expect(mappings).toHaveLength(1);
    expect(mappings[0]![1].Properties).toMatchObject({
      StartingPosition: 'TRIM_HORIZON',
      ParallelizationFactor: 1,
      BisectBatchOnFunctionError: true,
      FunctionResponseTypes: ['ReportBatchItemFailures'],
      MaximumRetryAttempts: 100,
      DestinationConfig: { OnFailure: { Destination: expect.anything() } },
    });
  });

  it('is called for events only, and not for those that the retention ends', () => {
    const patterns = mappings[0]![1].Properties.FilterCriteria.Filters.map(
      ({ Pattern }: { Pattern: string }) => JSON.parse(Pattern),
    );
    const dynamodb = { Keys: { sk: { S: [{ prefix: 'evt_' }] } } };
    expect(patterns).toEqual([
      { eventName: ['INSERT', 'MODIFY'], dynamodb },
      { eventName: ['REMOVE'], dynamodb, userIdentity: { principalId: [{ exists: false }] } },
    ]);
  });
});
