import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';
import { sharedStack } from './running-stack.ts';

export interface Answer {
  status: number;
  headers: Headers;
  text: string;
  // The answers are checked against docs/openapi.json before a test sees them.
  // biome-ignore lint/suspicious/noExplicitAny: a test names the fields it reads
  body: any;
}

export interface Call {
  key?: string | undefined;
  body?: unknown;
  headers?: Record<string, string>;
}

const openapi = JSON.parse(readFileSync('docs/openapi.json', 'utf8'));
const ajv = new Ajv2020({ strict: false, allErrors: true });
// biome-ignore lint/suspicious/noExplicitAny: the package's types do not know ESM's default
((formats as any).default ?? formats)(ajv);
ajv.addSchema(openapi, 'openapi');

const escapePointer = (text: string) => encodeURIComponent(text.replaceAll('~', '~0').replaceAll('/', '~1'));

/** The template of a path: concrete paths win over variables, as in OpenAPI. */
const templateOf = (path: string): string | undefined => {
  const templates = Object.keys(openapi.paths).sort((a, b) => a.split('{').length - b.split('{').length);
  return templates.find((template) =>
    new RegExp(`^${template.replaceAll(/\{[^}]+\}/g, '[^/]+')}$`).test(path),
  );
};

/** Fails when the management API answers something that docs/openapi.json does not promise. */
const checkAgainstOpenApi = (method: string, path: string, answer: Answer): void => {
  const template = templateOf(path.split('?')[0] ?? '');
  const operation = template ? openapi.paths[template][method.toLowerCase()] : undefined;
  if (!operation) return; // an unknown path or method: the gateway's own 404
  const where = `${method} ${template} ${answer.status}`;
  const type = answer.headers.get('content-type')?.split(';')[0] ?? '';
  const response = operation.responses[String(answer.status)];
  if (!response) throw new Error(`${where} is not in docs/openapi.json: ${answer.text.slice(0, 500)}`);
  const parts = response.$ref
    ? response.$ref.slice(2).split('/').map(escapePointer)
    : ['paths', template ?? '', method.toLowerCase(), 'responses', String(answer.status)].map(escapePointer);
  const found = response.$ref
    ? parts.reduce(
        (at: Record<string, unknown>, part: string) => at[decodeURIComponent(part)] as never,
        openapi,
      )
    : response;
  if (!found.content && answer.text === '') return;
  if (!found.content?.[type])
    throw new Error(`${where} answers ${type}, which docs/openapi.json does not know`);
  const pointer = `openapi#/${[...parts, 'content', escapePointer(type), 'schema'].join('/')}`;
  const validate = ajv.getSchema(pointer) ?? ajv.compile({ $ref: pointer });
  if (!validate(answer.body)) {
    throw new Error(`${where} breaks its schema: ${ajv.errorsText(validate.errors)}\n${answer.text}`);
  }
};

const send = async (
  base: string,
  method: string,
  path: string,
  { key, body, headers }: Call,
): Promise<Answer> => {
  const response = await fetch(base + path, {
    method,
    redirect: 'manual',
    headers: {
      ...(key === undefined ? {} : { 'x-api-key': key }),
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
  });
  const text = await response.text();
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    json = undefined;
  }
  return { status: response.status, headers: response.headers, text, body: json };
};

/** Calls the management API; every answer is checked against docs/openapi.json. */
export const managementOf =
  (base: string) =>
  async (method: string, path: string, call: Call = {}): Promise<Answer> => {
    const answer = await send(base, method, path, call);
    checkAgainstOpenApi(method, path, answer);
    if (answer.headers.get('cache-control') !== 'no-store')
      throw new Error(`${method} ${path} ${answer.status} may be cached`);
    return answer;
  };

/** Calls a product's API. */
export const productOf =
  (base: string) =>
  (method: string, path: string, call: Call = {}): Promise<Answer> =>
    send(base, method, path, call);

export const stack = process.env.REKEY_E2E_STATE_DIR ? sharedStack() : undefined;
export const management = managementOf(stack?.apis.management ?? '');
export const orders = productOf(stack?.apis.orders ?? '');
export const admin = stack?.admin_key ?? '';

/** A key made by the administrator, and its plaintext. */
export const newKey = async (
  more: Record<string, unknown> = {},
  { by = admin, headers = {} as Record<string, string> } = {},
): Promise<{ key: string; id: string; api_key: Record<string, unknown> }> => {
  const answer = await management('POST', '/api-keys', {
    key: by,
    headers,
    body: { name: 'a test key', owner_id: 'team-orders', scopes: ['orders:read'], ...more },
  });
  if (answer.status !== 201) throw new Error(`no key: ${answer.status} ${answer.text}`);
  return { key: answer.body.key, id: answer.body.api_key.id, api_key: answer.body.api_key };
};

/** Owners that no other test uses. */
let owners = 0;
export const newOwner = (name = 'team'): string =>
  `${name}-${process.pid}-${Date.now().toString(36)}-${owners++}`;
