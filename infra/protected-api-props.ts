import type { RemovalPolicy } from 'aws-cdk-lib';
import type { RetentionDays } from 'aws-cdk-lib/aws-logs';
import type { RekeyReference } from './rekey-reference.ts';

/** What the constructs for all kinds of API take. */
export interface ProtectedApiProps {
  rekey: RekeyReference;
  description?: string;
  /** What scopes mean, for people: `{ 'orders:refund': 'Give money back' }`. GET /scopes shows it. */
  scopes?: Record<string, string>;
  /**
   * Whether a deployment may remove scopes that active keys hold. Without it, it is refused and rolled back.
   * @default false
   */
  removeScopesInUse?: boolean;
  /** For the whole stage. @default 100 requests a second, in bursts of 200 */
  throttle?: { requestsPerSecond: number; burst: number };
  /** Of access logs and execution logs. @default three months */
  logRetention?: RetentionDays;
  /** @default RemovalPolicy.RETAIN */
  logRemoval?: RemovalPolicy;
}
