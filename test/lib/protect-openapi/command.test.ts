import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { routesHash } from '../../../lib/routes.ts';

const INVOICES = 'examples/invoices-openapi/invoices.yaml';

/** The command, as a person runs it. */
const run = async (...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> => {
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [
      'lib/protect-openapi/command.ts',
      ...args,
    ]);
    return { code: 0, stdout, stderr };
  } catch (error) {
    return error as { code: number; stdout: string; stderr: string };
  }
};

describe('rekey-openapi', () => {
  it('prints the document that API Gateway imports', async () => {
    const uri = '{"Fn::Sub":"${Authorizer}"}';
    const { stdout } = await run(INVOICES, '--api', 'http', '--authorizer-uri', uri, '--cache-ttl', '60');
    const { components, paths } = JSON.parse(stdout);
    expect(components.securitySchemes.rekey['x-amazon-apigateway-authorizer']).toMatchObject({
      authorizerUri: { 'Fn::Sub': '${Authorizer}' },
      identitySource: '$request.header.x-api-key',
      authorizerResultTtlInSeconds: 60,
    });
    expect(paths['/health'].get.security).toEqual([]);
  });

  it('puts in what answers the operations', async () => {
    const { stdout } = await run(
      ...[
        INVOICES,
        '--api',
        'http',
        '--authorizer-uri',
        'a',
        '--integration-uri',
        '{"Fn::Sub":"${{operationId}.Arn}"}',
      ],
    );
    expect(JSON.parse(stdout).paths['/invoices'].get['x-amazon-apigateway-integration']).toEqual({
      type: 'aws_proxy',
      httpMethod: 'POST',
      uri: { 'Fn::Sub': '${listInvoices.Arn}' },
      payloadFormatVersion: '2.0',
    });
  });

  it('prints what is to be registered', async () => {
    const routes = JSON.parse((await run(INVOICES, '--api', 'rest', '--print', 'routes')).stdout);
    expect(routes['POST /invoices']).toEqual(['invoices:write', 'customers:read']);
    const { Hash, Routes } = JSON.parse(
      (await run(INVOICES, '--api', 'rest', '--print', 'registration')).stdout,
    );
    expect([Hash, JSON.parse(Routes)]).toEqual([routesHash(routes), routes]);
  });

  it.each([
    ['no document', ['--api', 'rest']],
    ['no kind of API', [INVOICES, '--authorizer-uri', 'u']],
    ['something else to print', [INVOICES, '--api', 'rest', '--print', 'all']],
    ['no authorizer', [INVOICES, '--api', 'rest']],
    ['another header', [INVOICES, '--api', 'rest', '--print', 'routes', '--cache-header', 'cookie']],
  ])('says how it is used, with %s', async (_, args) => {
    const { code, stdout, stderr } = await run(...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('rekey-openapi <document');
  });

  it('fails with the reason, and prints nothing, for what it can not protect', async () => {
    const { code, stdout, stderr } = await run('docs/openapi.json', '--api', 'rest', '--print', 'routes');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/has no security|asks for/);
    const wrong = await run(INVOICES, '--api', 'rest', '--print', 'routes', '--cache-ttl', 'long');
    expect([wrong.code, wrong.stderr]).toEqual([1, 'cacheTtlSeconds must be whole, from 0 to 3600\n']);
  });
});
