import type { Exchange, GatewayError } from './exchange.ts';
import { type GatewayResponseModel, RESPONSE_TYPES } from './model.ts';
import { headerValues } from './request.ts';
import { contextVariables, lookUp, requestParameter } from './variables.ts';

export interface Answer {
  status: number;
  headers: [name: string, value: string][];
  body: string;
}

const DEFAULT_TEMPLATE = '{"message":$context.error.messageString}';
/** AWS writes the name with a capital here, and only here. */
const ACCESS_DENIED_TEMPLATE = '{"Message":$context.error.messageString}';

const REFERENCE =
  /\$(?:context((?:\.\w+)+)|stageVariables\.(\w+)|(method\.request\.(?:header|querystring|path)\.[\w-]+))/g;

/**
 * Fills in a gateway response's template. It is no VTL: a reference is replaced by its value as it is, with no
 * escaping whatsoever, and by nothing when there is no value.
 */
export function renderTemplate(template: string, exchange: Exchange, error: GatewayError): string {
  const variables = contextVariables(exchange, error);
  return template.replace(REFERENCE, (_, context?: string, stageVariable?: string, parameter?: string) => {
    if (context !== undefined) return lookUp(variables, context.slice(1)) ?? '';
    if (stageVariable !== undefined) return lookUp(exchange.stage?.variables, stageVariable) ?? '';
    return requestParameter(exchange, parameter ?? '') ?? '';
  });
}

function templateFor(
  response: GatewayResponseModel | undefined,
  exchange: Exchange,
): [contentType: string, template: string] | undefined {
  // "API Gateway only honors the first Accept media type."
  const accepted = headerValues(exchange.request.headers, 'accept')[0]
    ?.split(/[,;]/)[0]
    ?.trim()
    .toLowerCase();
  for (const type of [accepted, 'application/json']) {
    const template = type === undefined ? undefined : response?.templates.get(type);
    if (type !== undefined && template !== undefined) return [type, template];
  }
  return undefined;
}

/**
 * The answer API Gateway gives by itself: the response type's own customisation, else that of DEFAULT_4XX or
 * DEFAULT_5XX, else AWS's.
 */
export function gatewayResponse(exchange: Exchange, error: GatewayError): Answer {
  const { responseType, errorType } = error;
  const status = error.status ?? RESPONSE_TYPES[responseType];
  const customised = exchange.model.gatewayResponses;
  // "Customizing the default gateway response for 413 REQUEST_TOO_LARGE isn't currently supported."
  const fixed = responseType === 'REQUEST_TOO_LARGE';
  const own = fixed ? undefined : customised.get(responseType);
  const fallback = fixed ? undefined : customised.get(status < 500 ? 'DEFAULT_4XX' : 'DEFAULT_5XX');
  const governing = own ?? fallback;

  const [contentType, template] = templateFor(governing, exchange) ?? [
    'application/json',
    responseType === 'ACCESS_DENIED' ? ACCESS_DENIED_TEMPLATE : DEFAULT_TEMPLATE,
  ];
  const headers = new Map<string, [string, string]>([
    ['x-amzn-errortype', ['x-amzn-ErrorType', errorType]],
    ['content-type', ['Content-Type', contentType]],
  ]);
  for (const [name, source] of governing?.headers ?? []) {
    const value = source.startsWith("'") ? source.slice(1, -1) : requestParameter(exchange, source);
    // A decoded parameter may hold anything; what can't be a header's value is left out.
    if (value !== undefined && !/[^\t\x20-\x7e\x80-\xff]/.test(value))
      headers.set(name.toLowerCase(), [name, value]);
  }
  return {
    // "Changing the status code of this fallback gateway response changes the status codes of all other".
    status: own?.status ?? fallback?.status ?? status,
    headers: [...headers.values()],
    body: renderTemplate(template, exchange, error),
  };
}
