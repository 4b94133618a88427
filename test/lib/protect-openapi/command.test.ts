import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { describe, expect, it } from '@jest/globals';

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

  it('prints what is to be registered', async () => {
    const { stdout } = await run(INVOICES, '--api', 'rest', '--routes');
    const { routes, hash, stage_variables } = JSON.parse(stdout);
    expect(routes['POST /invoices']).toEqual(['invoices:write', 'customers:read']);
    expect(stage_variables).toEqual({ rekeyRoutes: hash });
  });

  it.each([
    ['no document', ['--api', 'rest']],
    ['no kind of API', [INVOICES, '--authorizer-uri', 'u']],
    ['no authorizer', [INVOICES, '--api', 'rest']],
    ['another header', [INVOICES, '--api', 'rest', '--routes', '--cache-header', 'cookie']],
  ])('says how it is used, with %s', async (_, args) => {
    const { code, stdout, stderr } = await run(...args);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('rekey-openapi <document');
  });

  it('fails with the reason, and prints nothing, for what it can not protect', async () => {
    const { code, stdout, stderr } = await run('docs/openapi.json', '--api', 'rest', '--routes');
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toMatch(/has no security|asks for/);
    const wrong = await run(INVOICES, '--api', 'rest', '--routes', '--cache-ttl', 'long');
    expect([wrong.code, wrong.stderr]).toEqual([1, 'cacheTtlSeconds must be whole, from 0 to 3600\n']);
  });
});
