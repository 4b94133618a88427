import { createHash } from 'node:crypto';
import { CustomResource, Duration, RemovalPolicy, Tags, Token } from 'aws-cdk-lib';
import type { Grant, IGrantable } from 'aws-cdk-lib/aws-iam';
import { CfnRotationSchedule, type CfnSecret, type ISecret, Secret } from 'aws-cdk-lib/aws-secretsmanager';
import { Construct, type IConstruct } from 'constructs';
import { OWNER_TAG } from '../lib/managed-secret.schema.ts';
import type { RekeyReference } from './rekey-reference.ts';

export interface RotatingApiKeyProps {
  /** From `importRekey` or `lookUpRekey`. */
  rekey: Pick<RekeyReference, 'deployKeyFunctionArn' | 'rotateSecretFunctionArn'>;
  /** What the key may do. The property `rekey:deployableKeys` of Rekey's stack must allow it. */
  scopes: string[];
  /** Whose key it is; not a token. For another owner it is another key. */
  owner: string;
  /** How often it is rotated, in whole days. @default 30 days */
  every?: Duration;
  /** What people call the key. @default the construct's path */
  name?: string;
}

const LONGEST_NAME = 100;

/**
 * An API key in a secret of AWS Secrets Manager: made when the stack is deployed, rotated on schedule, revoked when the
 * construct is gone. Its text is in the secret and nowhere else, in no template, no event and no log.
 *
 * @example
 * const key = new RotatingApiKey(this, 'OrdersKey', {
 *   rekey: importRekey(),
 *   scopes: ['orders:read'],
 *   owner: 'team-orders',
 *   every: Duration.days(30),
 * });
 * key.grantRead(worker);
 */
export class RotatingApiKey extends Construct {
  /** Its value is `{"key": …, "key_id": …, "expires_at": …}`. */
  readonly secret: ISecret;
  readonly #schedule: CfnRotationSchedule;

  constructor(scope: Construct, id: string, props: RotatingApiKeyProps) {
    super(scope, id);
    const { rekey, scopes, owner, every = Duration.days(30) } = props;
    const { name = this.node.path.slice(-LONGEST_NAME) } = props;
    if (Token.isUnresolved(owner)) throw new Error(`${this.node.path}: owner must be known at synthesis`);
    const days = every.toDays();
    if (!Number.isInteger(days)) throw new Error(`${this.node.path}: every must be whole days`);
    const { deployKeyFunctionArn, rotateSecretFunctionArn } = rekey;
    if (deployKeyFunctionArn === undefined || rotateSecretFunctionArn === undefined)
      throw new Error(`${this.node.path}: rekey must be of this account and Region, as importRekey gives it`);

    // Other logical ids for another owner: CloudFormation makes the new key and secret, and deletes the old ones last.
    const suffix = createHash('sha256').update(owner).digest('hex').slice(0, 8);
    const secret = new Secret(this, `Secret${suffix}`, {
      description: `An API key of Rekey: ${name}`,
      removalPolicy: RemovalPolicy.DESTROY,
    });
    // Empty: the key is written into it by Rekey.
    (secret.node.defaultChild as CfnSecret).addPropertyDeletionOverride('GenerateSecretString');
    Tags.of(secret).add(OWNER_TAG, owner);

    const key = new CustomResource(this, `Key${suffix}`, {
      resourceType: 'Custom::RekeyApiKey',
      serviceToken: deployKeyFunctionArn,
      // Longer than Lambda tries a request again (infra/deployed-keys.ts).
      serviceTimeout: Duration.minutes(15),
      properties: {
        SecretArn: secret.secretArn,
        OwnerId: owner,
        Name: name,
        // One string: CloudFormation would keep a list's order as a change.
        Scopes: JSON.stringify([...new Set(scopes)].sort()),
        EveryDays: String(days),
      },
    });
    this.#schedule = new CfnRotationSchedule(this, `Rotation${suffix}`, {
      secretId: secret.secretArn,
      rotationLambdaArn: rotateSecretFunctionArn,
      rotationRules: { automaticallyAfterDays: days },
      // The key was made just now.
      rotateImmediatelyOnUpdate: false,
    });
    this.#schedule.node.addDependency(key);
    this.secret = secret;
  }

  /** Lets somebody read the key, and has it deployed after the key is there. */
  grantRead(grantee: IGrantable & IConstruct): Grant {
    grantee.node.addDependency(this.#schedule);
    return this.secret.grantRead(grantee);
  }
}
