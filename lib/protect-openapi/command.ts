#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { cacheHeaders } from '../stage-variables.ts';
import { protectOpenApi } from './protect.ts';

const PRINTS = ['document', 'routes', 'registration'] as const;

const USAGE = `rekey-openapi <document.yaml or .json> --api rest|http --authorizer-uri <uri>
  prints the document that API Gateway imports; docs/openapi-apis.md says more

  --authorizer-uri   what the authorizer is invoked by, or JSON of a template like {"Fn::Sub": "…"}
  --integration-uri  what answers operations without an integration of their own, {operationId} put in; text or JSON too
  --print            document, or what is to be registered: routes, registration (Hash and Routes of Custom::RekeyRoutes)
  --scheme           name of the security scheme that stands for Rekey (rekey)
  --cache-ttl        seconds that API Gateway keeps answers of the authorizer (0)
  --cache-header     the one header keys come in then: ${cacheHeaders.join(' or ')} (x-api-key)`;

/** Text, or what a template makes one of. */
const readUri = (uri: string): unknown => (uri.startsWith('{') ? JSON.parse(uri) : uri);

function run(): string {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      api: { type: 'string' },
      'authorizer-uri': { type: 'string' },
      'integration-uri': { type: 'string' },
      print: { type: 'string', default: 'document' },
      scheme: { type: 'string' },
      'cache-ttl': { type: 'string', default: '0' },
      'cache-header': { type: 'string' },
    },
  });
  const { api, scheme, 'integration-uri': integrationUri } = values;
  const [file] = positionals;
  const header = cacheHeaders.find((name) => name === values['cache-header']);
  const print = PRINTS.find((name) => name === values.print);
  if (
    file === undefined ||
    positionals.length > 1 ||
    (api !== 'rest' && api !== 'http') ||
    print === undefined ||
    (values['authorizer-uri'] === undefined && print === 'document') ||
    (values['cache-header'] !== undefined && header === undefined)
  )
    throw new Error(USAGE);

  const { document, routes, hash } = protectOpenApi(parse(readFileSync(file, 'utf8')), {
    api,
    authorizerUri: readUri(values['authorizer-uri'] ?? ''),
    cacheTtlSeconds: Number(values['cache-ttl']),
    ...(scheme !== undefined && { scheme }),
    ...(header !== undefined && { cacheHeader: header }),
    ...(integrationUri !== undefined && {
      integrationOf: ({ operationId = '' }) => ({
        type: 'aws_proxy',
        httpMethod: 'POST',
        uri: readUri(integrationUri.replaceAll('{operationId}', operationId)),
        ...(api === 'http' && { payloadFormatVersion: '2.0' }),
      }),
    }),
  });
  const printed = { document, routes, registration: { Hash: hash, Routes: JSON.stringify(routes) } }[print];
  return JSON.stringify(printed, null, 2);
}

try {
  console.log(run());
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
