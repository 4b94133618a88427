import { createHash, createHmac } from 'node:crypto';
import { describe, expect, it } from '@jest/globals';
import { identify } from '../../local/sigv4.ts';

const who = { accessKeyId: 'AKIAREADER', secretAccessKey: 'its secret' };
const now = Date.parse('2026-11-24T12:00:00Z');
const sha256 = (data: string) => createHash('sha256').update(data).digest('hex');

/**
 * Signs by hand, straight from AWS's description, so that the check is not measured with itself:
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
 */
function signed(
  body: string,
  o: {
    secret?: string;
    date?: string;
    day?: string;
    region?: string;
    service?: string;
    accessKeyId?: string;
    more?: Record<string, string>;
    sign?: string[];
  } = {},
) {
  const date = o.date ?? '20261124T120000Z';
  const day = o.day ?? date.slice(0, 8);
  const region = o.region ?? 'us-east-1';
  const service = o.service ?? 'dynamodb';
  const headers: Record<string, string> = {
    'content-type': 'application/x-amz-json-1.0',
    host: '127.0.0.1:8000',
    'user-agent': 'a client',
    'x-amz-date': date,
    'x-amz-target': 'DynamoDB_20120810.GetItem',
    ...o.more,
  };
  const names = o.sign ?? Object.keys(headers).filter((name) => name !== 'user-agent');
  names.sort();
  const canonical = [
    'POST',
    '/',
    '',
    ...names.map((name) => `${name}:${headers[name]!.trim().replace(/ +/g, ' ')}`),
    '',
    names.join(';'),
    o.more?.['x-amz-content-sha256'] ?? sha256(body),
  ].join('\n');
  const scope = `${day}/${region}/${service}/aws4_request`;
  const hmac = (key: string | Buffer, data: string) => createHmac('sha256', key).update(data).digest();
  const key = [region, service, 'aws4_request'].reduce(
    hmac,
    hmac(`AWS4${o.secret ?? who.secretAccessKey}`, day),
  );
  const signature = hmac(key, ['AWS4-HMAC-SHA256', date, scope, sha256(canonical)].join('\n')).toString(
    'hex',
  );
  return {
    ...headers,
    authorization: `AWS4-HMAC-SHA256 Credential=${o.accessKeyId ?? who.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`,
  };
}

const check = (headers: Record<string, string | undefined>, body: string, at = now) =>
  identify(
    { method: 'POST', path: '/', headers, body: Buffer.from(body) },
    {
      service: 'dynamodb',
      region: 'us-east-1',
      now: at,
      find: (id) => (id === who.accessKeyId ? who : undefined),
    },
  );
const body = '{"TableName":"Keys"}';

describe('who signed a request', () => {
  it('is the owner of the access key, when the signature is right', async () => {
    expect(await check(signed(body), body)).toBe(who);
  });

  it('is known also when the client signed its user agent and an empty header', async () => {
    const headers = signed(body, {
      more: { 'x-empty': '', 'x-two': 'a  b' },
      sign: ['host', 'user-agent', 'x-amz-date', 'x-amz-target', 'x-empty', 'x-two'],
    });
    expect(await check(headers, body)).toBe(who);
  });

  it.each([
    ['another secret', signed(body, { secret: 'guess' }), body],
    ['another body', signed(body), `${body} `],
    ['another target', { ...signed(body), 'x-amz-target': 'DynamoDB_20120810.PutItem' }, body],
    ['another host', { ...signed(body), host: 'elsewhere' }, body],
    ['another date', { ...signed(body), 'x-amz-date': '20261124T120001Z' }, body],
    ['another region', signed(body, { region: 'eu-west-1' }), body],
    ['another service', signed(body, { service: 's3' }), body],
    ['a day that is not the date’s', signed(body, { day: '20261123' }), body],
    ['a target that is not signed', signed(body, { sign: ['host', 'x-amz-date'] }), body],
    ['a host that is not signed', signed(body, { sign: ['x-amz-date', 'x-amz-target'] }), body],
    ['another body than the hash', signed(body, { more: { 'x-amz-content-sha256': sha256(body) } }), 'other'],
    ['no body hash', signed(body, { more: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }), body],
  ])('is nobody for %s', async (_what, headers, sent) => {
    await expect(check(headers, sent)).rejects.toMatchObject({ code: 'InvalidSignatureException' });
  });

  it('learns which part of the scope is wrong', async () => {
    await expect(check(signed(body, { region: 'eu-west-1' }), body)).rejects.toThrow(
      "valid region, not 'eu-west-1'",
    );
    await expect(check(signed(body, { service: 's3' }), body)).rejects.toThrow("correct service: 'dynamodb'");
    await expect(check(signed(body, { day: '20261123' }), body)).rejects.toThrow('Date in Credential scope');
  });

  it('is known by a right body hash', async () => {
    const headers = signed(body, { more: { 'x-amz-content-sha256': sha256(body) } });
    expect(await check(headers, body)).toBe(who);
  });

  it('is not found out for an unknown access key', async () => {
    await expect(check(signed(body, { accessKeyId: 'AKIAOTHER' }), body)).rejects.toMatchObject({
      code: 'UnrecognizedClientException',
      message: 'The security token included in the request is invalid.',
    });
  });

  it('must be said: no or half a header is refused', async () => {
    await expect(check({ ...signed(body), authorization: undefined }, body)).rejects.toMatchObject({
      code: 'MissingAuthenticationTokenException',
    });
    for (const authorization of ['', 'Bearer x', 'AWS4-HMAC-SHA256 Credential=AKIAREADER']) {
      await expect(check({ ...signed(body), authorization }, body)).rejects.toMatchObject({
        code: 'IncompleteSignatureException',
      });
    }
    await expect(check({ ...signed(body), 'x-amz-date': undefined }, body)).rejects.toMatchObject({
      code: 'IncompleteSignatureException',
    });
  });

  it('counts for five minutes before and after the signed date', async () => {
    const minute = 60_000;
    expect(await check(signed(body), body, now + 5 * minute)).toBe(who);
    expect(await check(signed(body), body, now - 5 * minute)).toBe(who);
    await expect(check(signed(body), body, now + 5 * minute + 1000)).rejects.toThrow(
      'Signature expired: 20261124T120000Z is now earlier than 20261124T120001Z (20261124T120501Z - 5 min.)',
    );
    await expect(check(signed(body), body, now - 5 * minute - 1000)).rejects.toThrow(
      'Signature not yet current',
    );
  });
});
