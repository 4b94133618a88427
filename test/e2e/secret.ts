import { readFileSync } from 'node:fs';
import { join } from 'node:path';

/** A secret of the laptop's Secrets Manager, as its state file has it. */
export interface Secret {
  arn: string;
  name: string;
  versions: Record<string, { value?: string; stages: string[] }>;
  rotation?: { run?: unknown };
}
/** What a secret holds that Rekey rotates. */
export interface Held {
  key: string;
  key_id: string;
  expires_at: string;
}

/** A secret of the templates, by a part of its name. */
export function secretOf({ stateDir }: { stateDir: string }, name: string): Secret {
  const secrets = JSON.parse(readFileSync(join(stateDir, 'secrets.json'), 'utf8')) as Record<
    string,
    Omit<Secret, 'arn'>
  >;
  const [arn, secret] = Object.entries(secrets).find(([, secret]) => secret.name.includes(name))!;
  return { arn, ...secret };
}

/** What its version with this label holds. */
export function heldBy(secret: Secret, stage = 'AWSCURRENT'): Held {
  const version = Object.values(secret.versions).find(({ stages }) => stages.includes(stage))!;
  return JSON.parse(version.value!);
}
