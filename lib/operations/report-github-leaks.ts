import { z } from 'zod';
import { githubKeysUrl, keyPrefix } from '../environment.ts';
import { createGithubKeys, type GithubKeys, isSignedBy } from '../github-keys.ts';
import { sameDigest } from '../key-format.ts';
import * as keyTable from '../key-table.ts';
import { type LeakedKey, leakedKey } from '../leak.ts';
import { MOST_IN_MESSAGE, sendReports } from '../leak-queue.ts';
import { InvalidSignature } from '../problem.ts';
import { defineOperation } from './definition.ts';
import { exampleSecret } from './example-key.ts';

/** Thousands of findings: GitHub may send many in one message. */
const LARGEST_BATCH = 1_048_576;
/** Keys that are read at the same time. */
const CONCURRENCY = 32;

const Findings = z
  .array(
    // GitHub may add members.
    z.object({
      token: z.string().max(4_096),
      type: z.string().max(200),
      url: z.string().max(4_096).nullish(),
      source: z.string().max(200).nullish(),
    }),
  )
  .min(1)
  .max(10_000)
  .meta({ id: 'GithubFindings' });

const Labels = z
  .array(
    z.object({
      token_hash: z.string().meta({ description: 'SHA-256 of the text, 64 hex digits.' }),
      token_type: z.string(),
      label: z.enum(['true_positive', 'false_positive']),
    }),
  )
  .meta({ id: 'GithubLabels' });

const IDENTIFIER = /^[0-9a-f]{64}$/i;
const SIGNATURE = /^[A-Za-z0-9+/]{40,200}={0,2}$/;

let keys: GithubKeys | undefined;

export const reportGithubLeaks = defineOperation({
  name: 'report-github-leaks',
  method: 'POST',
  path: '/integrations/github/secret-scanning',
  public: true,
  throttle: { requestsPerSecond: 10, burst: 20 },
  summary: 'Take findings of GitHub secret scanning',
  description:
    'Called by GitHub, which signs what it sends (`Github-Public-Key-Identifier`, `Github-Public-Key-Signature`). Keys of this stack are revoked, or reported, as with `/leaks`. The answer labels each finding: `true_positive` is the text of a key that this stack has made, whatever its status.',
  body: Findings,
  takesKey: true,
  largestBody: LARGEST_BATCH,
  async admit({ text, headers }) {
    const identifier = headers['github-public-key-identifier'] ?? '';
    const signature = headers['github-public-key-signature'] ?? '';
    // Before anything is fetched for it.
    if (!IDENTIFIER.test(identifier) || !SIGNATURE.test(signature)) throw new InvalidSignature();
    keys ??= createGithubKeys({ url: githubKeysUrl() });
    const key = await keys(identifier);
    if (!key || !isSignedBy(key, text, signature)) throw new InvalidSignature();
  },
  answer: { status: 200, description: 'One label for each text that was found.', schema: Labels },
  problems: ['invalid_signature'],
  examples: {
    body: [
      {
        token: exampleSecret,
        type: 'rekey_api_key',
        url: 'https://github.com/octocat/Hello-World/blob/12345600b9/config.ts',
        source: 'content',
      },
    ],
    answer: [
      {
        token_hash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
        token_type: 'rekey_api_key',
        label: 'true_positive',
      },
    ],
  },
  async run({ body, origin: { now: _now, ...from } }) {
    const prefix = keyPrefix();
    const findings = [...Map.groupBy(body, ({ token }) => token)].map(([token, found]) => ({
      token_type: found[0]!.type,
      leaked: leakedKey(
        token,
        prefix,
        found.flatMap(({ url }) => (url ? [url] : [])),
      ),
    }));
    const real = await realOf(findings.map(({ leaked }) => leaked));

    const reports = Array.from({ length: Math.ceil(real.length / MOST_IN_MESSAGE) }, (_, i) => ({
      ...from,
      found_by: 'github' as const,
      actor: 'system:report-github-leaks',
      keys: real.slice(i * MOST_IN_MESSAGE, (i + 1) * MOST_IN_MESSAGE),
    }));
    // Before the answer: with it GitHub takes them for dealt with.
    await sendReports(reports);

    const labelled = new Set(real);
    return findings.map(({ token_type, leaked }) => ({
      token_hash: leaked.digest,
      token_type,
      label: labelled.has(leaked) ? ('true_positive' as const) : ('false_positive' as const),
    }));
  },
});

/** Those that are the very text of a key in the table. */
async function realOf(all: LeakedKey[]): Promise<LeakedKey[]> {
  const left = all.filter(({ id }) => id !== null);
  const real: LeakedKey[] = [];
  for (let at = 0; at < left.length; at += CONCURRENCY) {
    await Promise.all(
      left.slice(at, at + CONCURRENCY).map(async (leaked) => {
        const record = await keyTable.getKey(leaked.id ?? '');
        if (record && sameDigest(record.digest, leaked.digest)) real.push(leaked);
      }),
    );
  }
  return real;
}
