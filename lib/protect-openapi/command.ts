#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parse } from 'yaml';
import { cacheHeaders } from '../stage-variables.ts';
import { protectOpenApi } from './protect.ts';

const USAGE = `rekey-openapi <document.yaml or .json> --api rest|http --authorizer-uri <uri>
  prints the document that API Gateway imports; docs/openapi-apis.md says more

  --authorizer-uri  what the authorizer is invoked by, or JSON of a template like {"Fn::Sub": "…"}
  --routes          print what is to be registered instead: routes, hash and stage_variables
  --scheme          name of the security scheme that stands for Rekey (rekey)
  --cache-ttl       seconds that API Gateway keeps answers of the authorizer (0)
  --cache-header    the one header keys come in then: ${cacheHeaders.join(' or ')} (x-api-key)`;

/** Text, or what a template makes one of. */
const readUri = (uri: string): unknown => (uri.startsWith('{') ? JSON.parse(uri) : uri);

function run(): string {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      api: { type: 'string' },
      'authorizer-uri': { type: 'string' },
      routes: { type: 'boolean', default: false },
      scheme: { type: 'string' },
      'cache-ttl': { type: 'string', default: '0' },
      'cache-header': { type: 'string' },
    },
  });
  const { api, scheme } = values;
  const [file] = positionals;
  const header = cacheHeaders.find((name) => name === values['cache-header']);
  if (file === undefined || positionals.length > 1 || (api !== 'rest' && api !== 'http'))
    throw new Error(USAGE);
  if (values['authorizer-uri'] === undefined && !values.routes) throw new Error(USAGE);
  if (values['cache-header'] !== undefined && header === undefined) throw new Error(USAGE);

  const { document, routes, hash, stageVariables } = protectOpenApi(parse(readFileSync(file, 'utf8')), {
    api,
    authorizerUri: readUri(values['authorizer-uri'] ?? ''),
    cacheTtlSeconds: Number(values['cache-ttl']),
    ...(scheme !== undefined && { scheme }),
    ...(header !== undefined && { cacheHeader: header }),
  });
  return JSON.stringify(
    values.routes ? { routes, hash, stage_variables: stageVariables } : document,
    null,
    2,
  );
}

try {
  console.log(run());
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
