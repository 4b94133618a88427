import { Sha256 } from '@aws-crypto/sha256-js';
import { afterEach, describe, expect, it } from '@jest/globals';
import { SignatureV4 } from '@smithy/signature-v4';
import { createDynamoDbCall } from '../../lib/dynamodb-http.ts';
import { failed, fakeDynamoDb, hangUp, ok, silent } from './fake-dynamodb.ts';

let server: Awaited<ReturnType<typeof fakeDynamoDb>> | undefined;
const start = async (...replies: Parameters<typeof fakeDynamoDb>) => {
  server = await fakeDynamoDb(...replies);
  return { ...server, call: createDynamoDbCall(server.env) };
};
afterEach(async () => {
  await server?.close();
  server = undefined;
});

describe('the DynamoDB client of the hot path', () => {
  it('sends the operation as DynamoDB’s JSON and gives the parsed answer', async () => {
    const { call, seen } = await start(ok({ Item: { pk: { S: 'x' } } }));
    expect(await call('GetItem', { TableName: 'keys' })).toEqual({ Item: { pk: { S: 'x' } } });
    expect(seen[0]?.body).toEqual({ TableName: 'keys' });
    expect(seen[0]?.headers).toMatchObject({
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': 'DynamoDB_20120810.GetItem',
      'x-amz-security-token': 'token',
    });
  });

  it('signs as AWS’s own signer does', async () => {
    const { call, seen, env } = await start(ok({}));
    await call('GetItem', { TableName: 'keys' });
    const { headers } = seen[0]!;
    const [, names] = /SignedHeaders=([^,]+)/.exec(String(headers.authorization)) ?? [];
    const date = String(headers['x-amz-date']);
    const signer = new SignatureV4({
      service: 'dynamodb',
      region: 'eu-west-1',
      credentials: {
        accessKeyId: 'AKIDEXAMPLE',
        secretAccessKey: 'not-a-real-secret',
        sessionToken: 'token',
      },
      sha256: Sha256,
      applyChecksum: false,
    });
    const signed = await signer.sign(
      {
        method: 'POST',
        protocol: 'http:',
        hostname: '127.0.0.1',
        path: '/',
        query: {},
        headers: Object.fromEntries(names!.split(';').map((name) => [name, String(headers[name])])),
        body: JSON.stringify({ TableName: 'keys' }),
      },
      { signingDate: new Date(date.replace(/^(....)(..)(..T..)(..)/, '$1-$2-$3:$4:')) },
    );
    expect(env['AWS_ENDPOINT_URL_DYNAMODB']).toContain(String(headers.host));
    expect(headers.authorization).toBe(signed.headers['authorization']);
  });

  it('keeps its connection', async () => {
    const { call, seen } = await start(ok({}));
    for (let i = 0; i < 3; i++) await call('GetItem', {});
    expect(new Set(seen.map(({ port }) => port)).size).toBe(1);
  });

  it('replaces a kept connection that was closed, once, and the caller does not notice', async () => {
    const { call, seen } = await start(ok({}), hangUp, ok({ Item: {} }));
    await call('GetItem', {});
    expect(await call('GetItem', { TableName: 'again' })).toEqual({ Item: {} });
    expect(seen).toHaveLength(3);
    expect(seen[1]?.port).toBe(seen[0]?.port);
    expect(seen[2]?.port).not.toBe(seen[1]?.port);
    expect(seen[2]?.body).toEqual({ TableName: 'again' });
  });

  it('does not try the other kept connections when one was closed: they are as old', async () => {
    const { call, seen } = await start(ok({}), ok({}), ok({}), hangUp, ok({}));
    await Promise.all([call('GetItem', {}), call('GetItem', {}), call('GetItem', {})]);
    await call('GetItem', {});
    expect(new Set(seen.slice(0, 3).map(({ port }) => port)).size).toBe(3);
    expect(seen.slice(0, 3).map(({ port }) => port)).not.toContain(seen[4]?.port);
  });

  it.each([
    ['throttling', failed(400, 'ThrottlingException')],
    ['a table that is too busy', failed(400, 'ProvisionedThroughputExceededException')],
    ['a transaction on the same item', failed(400, 'TransactionConflictException')],
    ['a fault of DynamoDB', failed(500, 'InternalServerError')],
    ['a connection that is closed at once', hangUp],
  ])('tries once more after %s', async (_, trouble) => {
    const { call, seen } = await start(trouble, ok({ Item: {} }));
    expect(await call('GetItem', {})).toEqual({ Item: {} });
    expect(seen).toHaveLength(2);
  });

  it('gives up after the second try, and says what it was', async () => {
    const { call, seen } = await start(failed(400, 'ThrottlingException', 'slow down'));
    await expect(call('GetItem', {})).rejects.toMatchObject({
      name: 'DynamoDbFailure',
      code: 'ThrottlingException',
      transient: true,
    });
    expect(seen).toHaveLength(2);
  });

  it.each([
    'ConditionalCheckFailedException',
    'AccessDeniedException',
    'ValidationException',
    'ResourceNotFoundException',
  ])('does not repeat what %s refused', async (code) => {
    const { call, seen } = await start(failed(400, code));
    await expect(call('TransactWriteItems', {})).rejects.toMatchObject({ code, transient: false });
    expect(seen).toHaveLength(1);
  });

  it('waits 1.5 s in all for a table that says nothing', async () => {
    const { call } = await start(silent);
    const begin = performance.now();
    await expect(call('GetItem', {})).rejects.toMatchObject({ code: 'Timeout' });
    expect(performance.now() - begin).toBeLessThan(1_900);
  });

  it('does not hang on a table that begins to answer and stops', async () => {
    const { call } = await start((response) => {
      response.writeHead(200);
      response.write('{"Item":');
    });
    await expect(call('GetItem', {})).rejects.toMatchObject({ name: 'DynamoDbFailure' });
  });

  it('refuses an answer that has no end', async () => {
    const { call } = await start((response) => {
      response.writeHead(200);
      response.write(' '.repeat(2_000_000));
    });
    await expect(call('GetItem', {})).rejects.toMatchObject({ code: 'BadAnswer' });
  });

  it('does not repeat in its error what an answer said', async () => {
    const { call } = await start(ok('{"digest":"0123abcd'));
    const error = await call('GetItem', {}).catch((e: Error) => e);
    expect(error).toMatchObject({ code: 'BadAnswer' });
    expect(String((error as Error).stack)).not.toContain('0123abcd');
  });

  it('reads its credentials at every call', async () => {
    const { call, seen, env } = await start(ok({}));
    await call('GetItem', {});
    env['AWS_ACCESS_KEY_ID'] = 'AKIDROTATED';
    await call('GetItem', {});
    expect(seen[1]?.headers.authorization).toContain('Credential=AKIDROTATED/');
  });

  it.each(['AWS_REGION', 'AWS_ACCESS_KEY_ID', 'AWS_SECRET_ACCESS_KEY'])(
    'sends nothing without %s, and says its name',
    async (name) => {
      const { call, seen, env } = await start(ok({}));
      env[name] = undefined;
      await expect(call('GetItem', {})).rejects.toThrow(`${name} is not set`);
      expect(seen).toHaveLength(0);
    },
  );
});
