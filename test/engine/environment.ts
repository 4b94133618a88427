/** Where functions find an engine. It asks for credentials and looks at none. */
export const awsEnvironment = (endpoint: string) => ({
  AWS_REGION: 'us-east-1',
  AWS_ACCESS_KEY_ID: 'engine',
  AWS_SECRET_ACCESS_KEY: 'engine',
  AWS_ENDPOINT_URL_DYNAMODB: endpoint,
});

/**
 * Gives this process the environment of the product's functions, as a stack sets it that nobody has set otherwise.
 *
 * @param more variables of what is tested, and others than those
 * @returns puts back what was there before
 */
export function setEnvironment(
  { endpoint, tableName }: { endpoint: string; tableName: string },
  more: Record<string, string> = {},
): () => void {
  const before = { ...process.env };
  Object.assign(process.env, {
    ...awsEnvironment(endpoint),
    REKEY_TABLE_NAME: tableName,
    REKEY_KEY_PREFIX: 'rk',
    REKEY_DEFAULT_LIFETIME_DAYS: '90',
    REKEY_MAX_LIFETIME_DAYS: '365',
    REKEY_ALLOW_NEVER_EXPIRING: 'false',
    REKEY_RETENTION_DAYS: '90',
    REKEY_EVENT_RETENTION_DAYS: '400',
    REKEY_NOTIFY_DAYS_BEFORE: '14',
    REKEY_GRACE_STARTS: 'now',
    REKEY_PENDING_DAYS: '7',
    REKEY_MOST_VALID_KEYS: '2',
    REKEY_LATE_USE_MINUTES: '60',
    ...more,
  });
  return () => {
    process.env = before;
  };
}
