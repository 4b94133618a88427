import { managementOf } from '../lib/client/management.ts';
import { managementUrl } from '../lib/environment.ts';
import { RotationStep, rotateSecret } from '../lib/rotate-secret.ts';
import { secretVersions } from '../lib/secret-versions.ts';

const world = { secrets: secretVersions(), management: managementOf(managementUrl(), fetch) };

/** Secrets Manager calls it for each step of a rotation; an error makes it begin again. */
export const handler = (event: unknown): Promise<void> => rotateSecret(RotationStep.parse(event), world);
