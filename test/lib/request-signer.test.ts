import { Sha256 } from '@aws-crypto/sha256-js';
import { describe, expect, it } from '@jest/globals';
import { SignatureV4 } from '@smithy/signature-v4';
import fc from 'fast-check';
import { createRequestSigner } from '../../lib/request-signer.ts';

const HOST = 'dynamodb.example';

interface Request {
  /** `20261125T235959Z` */
  at: string;
  region: string;
  credentials: { accessKeyId: string; secretAccessKey: string; sessionToken?: string };
  body: string;
}

const headersOf = (at: string) => ({
  'content-type': 'application/x-amz-json-1.0',
  'x-amz-target': 'DynamoDB_20120810.GetItem',
  'x-amz-date': at,
});

/** What AWS's own signer makes of the same headers. */
async function signedByAws({ at, region, credentials, body }: Request, sent: Record<string, unknown>) {
  const { Authorization: _, ...headers } = sent;
  const signer = new SignatureV4({
    ...{ service: 'dynamodb', region, credentials, sha256: Sha256, applyChecksum: false },
  });
  const signed = await signer.sign(
    {
      ...{ method: 'POST', protocol: 'https:', hostname: HOST, path: '/', query: {}, body },
      headers: Object.fromEntries(
        Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]),
      ),
    },
    { signingDate: new Date(at.replace(/^(....)(..)(..T..)(..)/, '$1-$2-$3:$4:')) },
  );
  return signed.headers['authorization'];
}

const request = fc.record<Request>({
  at: fc.constantFrom('20261125T235959Z', '20261126T000000Z', '20270101T120000Z'),
  region: fc.constantFrom('us-east-1', 'eu-west-1'),
  credentials: fc.constantFrom(
    { accessKeyId: 'AKIDONE', secretAccessKey: 'one' },
    { accessKeyId: 'AKIDONE', secretAccessKey: 'another' },
    { accessKeyId: 'ASIATWO', secretAccessKey: 'two/+', sessionToken: 'a token' },
  ),
  body: fc.string({ unit: 'grapheme', minLength: 1, maxLength: 50 }),
});

describe('the signer of requests', () => {
  it('signs as AWS’s own does, whatever days, Regions and credentials follow one another', async () => {
    const requests = fc.array(request, { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(requests, async (following) => {
        const sign = createRequestSigner();
        for (const each of following) {
          const { at, region, credentials, body } = each;
          const sent = sign(
            {
              ...{ service: 'dynamodb', region, host: HOST, method: 'POST', path: '/', body },
              headers: headersOf(at),
            },
            credentials,
          );
          expect(sent['Authorization']).toBe(await signedByAws(each, sent));
        }
      }),
    );
  });
});
