import { describe, expect, it } from '@jest/globals';
import {
  eventRetentionDays,
  githubKeysUrl,
  keyPrefix,
  leaksQueueUrl,
  lifetimeSettings,
  lineSettings,
  logSampleRate,
  misuseSettings,
  onLeak,
  retentionDays,
  scheduleSettings,
  tableName,
} from '../../lib/environment.ts';

const env = {
  REKEY_TABLE_NAME: 'Rekey-Table',
  REKEY_KEY_PREFIX: 'rk',
  REKEY_DEFAULT_LIFETIME_DAYS: '90',
  REKEY_MAX_LIFETIME_DAYS: '365',
  REKEY_ALLOW_NEVER_EXPIRING: 'false',
  REKEY_RETENTION_DAYS: '30',
  REKEY_GRACE_STARTS: 'first_use',
  REKEY_PENDING_DAYS: '7',
  REKEY_MOST_VALID_KEYS: '3',
  REKEY_EVENT_RETENTION_DAYS: '400',
  REKEY_NOTIFY_DAYS_BEFORE: '14',
  REKEY_LOG_SAMPLE_RATE: '0.25',
  REKEY_LATE_USE_MINUTES: '60',
  REKEY_LEAKED_KEYS: 'report',
  REKEY_LEAKS_QUEUE_URL: 'https://sqs.example/leaks',
  REKEY_GITHUB_KEYS_URL: 'https://api.example/keys',
};
const readAll = (variables: Record<string, string | undefined>) => [
  tableName(variables),
  keyPrefix(variables),
  lifetimeSettings(variables),
  retentionDays(variables),
  lineSettings(variables),
  scheduleSettings(variables),
  eventRetentionDays(variables),
  logSampleRate(variables),
  misuseSettings(variables),
  onLeak(variables),
  leaksQueueUrl(variables),
  githubKeysUrl(variables),
];

describe('the environment', () => {
  it('is read into settings', () => {
    expect(readAll(env)).toEqual([
      'Rekey-Table',
      'rk',
      { default_lifetime_days: 90, max_lifetime_days: 365, allow_never_expiring: false },
      30,
      { grace_starts: 'first_use', pending_days: 7, most_valid_keys: 3 },
      { notify_days_before: [14] },
      400,
      0.25,
      { late_use_minutes: 60 },
      'report',
      'https://sqs.example/leaks',
      'https://api.example/keys',
    ]);
  });

  it('is asked only for what a function uses', () => {
    expect(keyPrefix({ REKEY_KEY_PREFIX: 'acme' })).toBe('acme');
    expect(tableName({ REKEY_TABLE_NAME: 'T-1' })).toBe('T-1');
  });

  it.each(Object.keys(env))('stops the start with the name of %s when it is missing or empty', (name) => {
    for (const value of [undefined, '']) {
      expect(() => readAll({ ...env, [name]: value })).toThrow(`${name} is not set`);
    }
  });

  it.each([
    ['REKEY_KEY_PREFIX', ['r', 'RK', 'rk1', 'rk_', 'a'.repeat(13), ' rk', 'rk\n', 'ré']],
    [
      'REKEY_DEFAULT_LIFETIME_DAYS',
      ['0', '-1', '1.5', '90d', '1e3', '0x10', ' 90', '366', '99999', '100000'],
    ],
    ['REKEY_MAX_LIFETIME_DAYS', ['0', '36501', 'Infinity', 'NaN', '89']],
    ['REKEY_ALLOW_NEVER_EXPIRING', ['yes', '1', 'TRUE', 'false ', 'truefalse']],
    ['REKEY_RETENTION_DAYS', ['0', 'x']],
    ['REKEY_LEAKED_KEYS', ['yes', 'Revoke', ' revoke']],
    ['REKEY_GITHUB_KEYS_URL', ['http://api.github.com/', 'http://127.0.0.1', 'file:///etc/passwd', 'x']],
    ['REKEY_GRACE_STARTS', ['later', 'NOW', 'nowfirst_use']],
    ['REKEY_PENDING_DAYS', ['0', '7.5']],
    ['REKEY_MOST_VALID_KEYS', ['1', '0', '11', '2x']],
    ['REKEY_LATE_USE_MINUTES', ['-1', '10081', '1.5', '1e3', 'x', '100000']],
    ['REKEY_NOTIFY_DAYS_BEFORE', ['0', '366', '14,', '14,14', '14, 3', '1,2,3,4,5,6', '1.5', 'x']],
    ['REKEY_LOG_SAMPLE_RATE', ['1.1', '-0.1', '.5', '1e-3', '2', '0,5', 'all']],
    ['REKEY_TABLE_NAME', ['a', 'a table', 'a\nb']],
  ])('stops the start when %s is not what it must be', (name, values) => {
    for (const value of values) {
      // A default above the maximum is the default's fault.
      const named =
        name === 'REKEY_MAX_LIFETIME_DAYS' && value === '89' ? 'REKEY_DEFAULT_LIFETIME_DAYS' : name;
      expect(() => readAll({ ...env, [name]: value })).toThrow(`${named} is not valid`);
    }
  });

  it('has days of notice with commas between', () => {
    expect(scheduleSettings({ REKEY_NOTIFY_DAYS_BEFORE: '365,30,14,3,1' })).toEqual({
      notify_days_before: [365, 30, 14, 3, 1],
    });
  });

  it('allows keys that never expire only by the word true', () => {
    expect(lifetimeSettings({ ...env, REKEY_ALLOW_NEVER_EXPIRING: 'true' }).allow_never_expiring).toBe(true);
  });
});
