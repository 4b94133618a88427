import { describe, expect, it } from '@jest/globals';
import { App } from 'aws-cdk-lib';
import { readSettings } from '../../infra/settings.ts';

const read = (context: Record<string, unknown>) => readSettings(new App({ context }).node);

describe("the properties of the product's stack", () => {
  it('are those of production by default', () => {
    expect(read({})).toEqual({
      mode: 'production',
      keyPrefix: 'rk',
      defaultLifetimeDays: 90,
      maxLifetimeDays: 365,
      allowNeverExpiring: false,
      retentionDays: 90,
      graceStarts: 'now',
      pendingDays: 7,
      mostValidKeys: 2,
      eventRetentionDays: 400,
      eventBusAccountIds: [],
      eventBusOrganizationIds: [],
      notifyDaysBefore: [14],
      sweepIntervalMinutes: 60,
      lateUseMinutes: 60,
      leakedKeys: 'revoke',
      githubKeysUrl: 'https://api.github.com/meta/public_keys/secret_scanning',
      logSampleRate: 0.1,
      canary: true,
      manageApiGatewayAccount: false,
      consumerAccounts: [],
      deployableKeys: {},
      allowLoopbackHttpWebhooks: false,
    });
  });

  it('are text on the command line, and may be numbers in cdk.json', () => {
    expect(
      read({
        'rekey:mode': 'development',
        'rekey:keyPrefix': 'acme',
        'rekey:defaultLifetimeDays': '30',
        'rekey:maxLifetimeDays': 60,
        'rekey:notifyDaysBefore': '30,14,3',
        'rekey:sweepIntervalMinutes': '15',
        'rekey:allowNeverExpiring': 'true',
        'rekey:logSampleRate': '0.25',
        'rekey:alarmTopicArn': 'arn:aws:sns:eu-central-1:123456789012:operations',
        'rekey:eventBusAccountIds': '111122223333, 444455556666,111122223333',
        'rekey:eventBusOrganizationIds': ['o-a1b2c3d4e5'],
        'rekey:deployableKeys': '{"team-orders":["orders:*"]}',
      }),
    ).toMatchObject({
      mode: 'development',
      keyPrefix: 'acme',
      defaultLifetimeDays: 30,
      maxLifetimeDays: 60,
      notifyDaysBefore: [30, 14, 3],
      sweepIntervalMinutes: 15,
      allowNeverExpiring: true,
      logSampleRate: 0.25,
      alarmTopicArn: 'arn:aws:sns:eu-central-1:123456789012:operations',
      eventBusAccountIds: ['111122223333', '444455556666'],
      eventBusOrganizationIds: ['o-a1b2c3d4e5'],
      deployableKeys: { 'team-orders': ['orders:*'] },
    });
  });

  it.each<[string, unknown, string]>([
    ['rekey:mode', 'prod', 'rekey:mode must be production or development'],
    ['rekey:keyPrefix', 'Acme', 'rekey:keyPrefix must be 2 to 12 lower-case letters'],
    ['rekey:keyPrefix', 'a', 'rekey:keyPrefix must be 2 to 12 lower-case letters'],
    ['rekey:retentionDays', '1.5', 'rekey:retentionDays must be a whole number of days from 1 to 36500'],
    ['rekey:retentionDays', 'ninety', 'rekey:retentionDays must be a whole number of days from 1 to 36500'],
    ['rekey:retentionDays', '0', 'rekey:retentionDays must be a whole number of days from 1 to 36500'],
    ['rekey:allowNeverExpiring', 'yes', 'rekey:allowNeverExpiring must be true or false'],
    ['rekey:alarmTopicArn', 'operations', 'rekey:alarmTopicArn must be the ARN of an SNS topic'],
    ['rekey:eventBusAccountIds', '1234', 'must be account ids of 12 digits'],
    ['rekey:eventBusOrganizationIds', '*', 'must be ids of organizations, like o-a1b2c3d4e5'],
    ['rekey:defaultLifetimeDays', '400', 'rekey:defaultLifetimeDays must not be above maxLifetimeDays'],
    ...['0', '366', '14,14', '1,2,3,4,5,6', 'soon', 14, []].map((value): [string, unknown, string] => [
      'rekey:notifyDaysBefore',
      value,
      'rekey:notifyDaysBefore must be one to five different whole numbers of days from 1 to 365',
    ]),
    ...['0', '1441', '1.5', 'hourly'].map((value): [string, unknown, string] => [
      'rekey:sweepIntervalMinutes',
      value,
      'rekey:sweepIntervalMinutes must be a whole number of minutes from 1 to 1440',
    ]),
    ['rekey:logSampleRate', '1.5', 'rekey:logSampleRate must be a number from 0 to 1'],
    ['rekey:logSampleRate', 'some', 'rekey:logSampleRate must be a number from 0 to 1'],
    [
      'rekey:allowLoopbackHttpWebhooks',
      'true',
      'rekey:allowLoopbackHttpWebhooks must not be true in production',
    ],
    ['rekey:deployableKeys', 'team-orders', 'rekey:deployableKeys must be an object from owners to lists'],
    ['rekey:deployableKeys', { 'team-orders': [] }, 'must be an object from owners to lists of scopes'],
    ['rekey:deployableKeys', { 'team-orders': ['orders'] }, 'must look like orders:write'],
    ['rekey:deployableKeys', { 'team orders': ['orders:*'] }, 'rekey:deployableKeys'],
    ['rekey:maxLifetime', '10', 'rekey:maxLifetime is not a property of Rekey'],
  ])('%s=%s stops the synthesis with a sentence', (name, value, sentence) => {
    expect(() => read({ [name]: value })).toThrow(sentence);
  });
});
