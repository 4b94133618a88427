import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { literalResource, policyFor } from '../../lib/policy.ts';
import { evaluatePolicies } from '../../local/iam.ts';

const ARN = 'arn:aws:execute-api:us-east-1:000000000000:a1b2c3d4e5/v1/GET/orders';

const allows = async (policyArn: string, requestArn: string) =>
  (
    await evaluatePolicies({
      policies: [policyFor('Allow', policyArn)],
      principal: 'key_x',
      action: 'execute-api:Invoke',
      resource: requestArn,
    })
  ).allowed;

describe('the policy of one request', () => {
  it('allows the request itself and no other route', async () => {
    expect(await allows(`${ARN}/1`, `${ARN}/1`)).toBe(true);
    expect(await allows(`${ARN}/1`, `${ARN}/2`)).toBe(false);
    expect(await allows(`${ARN}/1`, `${ARN}/1/refund`)).toBe(false);
    expect(await allows(`${ARN}/1`, `${ARN}/1`.replace('/GET/', '/POST/'))).toBe(false);
    expect(await allows(`${ARN}/1`, `${ARN}/1`.replace('/v1/', '/v2/'))).toBe(false);
  });

  it('takes a * or a ? in the path for that character, so nobody asks for a pattern', async () => {
    expect(literalResource(`${ARN}/*`)).toBe(`${ARN}/\${*}`);
    expect(literalResource(`${ARN}/a?c`)).toBe(`${ARN}/a\${?}c`);
    expect(await allows(`${ARN}/*`, `${ARN}/1`)).toBe(false);
    expect(await allows(`${ARN}/a?c`, `${ARN}/abc`)).toBe(false);
    expect(await allows(`${ARN}/*`, `${ARN}/*`)).toBe(true);
    expect(await allows(`${ARN}/a?c`, `${ARN}/a?c`)).toBe(true);
  });

  it('takes a policy variable in the path for its characters', async () => {
    expect(literalResource(`${ARN}/\${aws:username}`)).toBe(`${ARN}/\${$}{aws:username}`);
    expect(literalResource(`${ARN}/\${*}`)).toBe(`${ARN}/\${$}{\${*}}`);
    expect(await allows(`${ARN}/\${*}`, `${ARN}/*`)).toBe(false);
    expect(await allows(`${ARN}/\${*}`, `${ARN}/\${*}`)).toBe(true);
  });

  it('leaves a $ that begins no variable as it is', async () => {
    expect(literalResource(`${ARN}/5$`)).toBe(`${ARN}/5$`);
    expect(await allows(`${ARN}/5$`, `${ARN}/5$`)).toBe(true);
  });

  it('has at most 512 characters, and still allows the request', async () => {
    const long = `${ARN}/${'a'.repeat(1_000)}`;
    expect(literalResource(long)).toHaveLength(512);
    expect(await allows(long, long)).toBe(true);
    expect(await allows(long, `${ARN}/b`)).toBe(false);
  });

  it('does not cut a long resource in the middle of an escape', () => {
    for (let length = 500; length < 516; length++) {
      const resource = literalResource(`${ARN.padEnd(length, 'a')}*\${*}?${'b'.repeat(100)}`);
      expect(resource.length).toBeLessThanOrEqual(512);
      expect(resource.slice(0, -1).replace(/\$\{[*?$]\}/g, '')).not.toMatch(/\$\{|\$$/);
      expect(resource.endsWith('*')).toBe(true);
    }
  });

  it('allows a request and never another one, whatever the two paths are', async () => {
    const path = fc
      .array(fc.constantFrom('a', 'b', '/', '*', '?', '$', '{', '}', '${*}', '%2F', '+', ':', '.'), {
        maxLength: 8,
      })
      .map((parts) => `/x${parts.join('')}`);
    await fc.assert(
      fc.asyncProperty(path, path, async (one, other) => {
        expect(await allows(ARN + one, ARN + one)).toBe(true);
        expect(await allows(ARN + one, ARN + other)).toBe(one === other);
      }),
      { numRuns: 300 },
    );
  });
});
