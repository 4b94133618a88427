import { randomBytes } from 'node:crypto';

/** Temporary ones, as STS makes them. */
export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
}

const CHARACTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/** `ASIA`: those that come with a session token and end. */
export function newCredentials(): Credentials {
  const text = [...randomBytes(16)].map((byte) => CHARACTERS[byte % CHARACTERS.length]).join('');
  return {
    accessKeyId: `ASIA${text}`,
    secretAccessKey: randomBytes(30).toString('base64'),
    sessionToken: randomBytes(60).toString('base64'),
  };
}
