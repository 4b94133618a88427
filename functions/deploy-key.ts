import type { CloudFormationCustomResourceEvent, Context } from 'aws-lambda';
import { answerCustomResource } from '../lib/custom-resource.ts';
import { deployKey } from '../lib/deploy-key.ts';
import {
  adminSecretArn,
  deployableKeys,
  keyPrefix,
  lifetimeSettings,
  retentionDays,
  scheduleSettings,
} from '../lib/environment.ts';
import { systemOrigin } from '../lib/event.ts';
import { secretVersions } from '../lib/secret-versions.ts';

const world = {
  secrets: secretVersions(),
  settings: {
    key_prefix: keyPrefix(),
    retention_days: retentionDays(),
    ...lifetimeSettings(),
    ...scheduleSettings(),
  },
  rules: { admin_secret_arn: adminSecretArn(), deployable: deployableKeys() },
};

/** `Custom::RekeyApiKey` of CloudFormation. */
export const handler = (event: CloudFormationCustomResourceEvent, context: Context): Promise<void> =>
  answerCustomResource(event, context, () =>
    deployKey(event, systemOrigin('deploy-key', Date.now(), context.awsRequestId), world),
  );
