import { authorizerEvent } from './event.ts';
import { type Exchange, GatewayError, methodArn } from './exchange.ts';
import type { AuthorizerModel } from './model.ts';
import { headerValues } from './request.ts';
import { contextVariables, lookUp } from './variables.ts';
import {
  contextText,
  demandAllowed,
  failed,
  isRecord,
  misconfigured,
  readVerdict,
  unauthorized,
  type Verdict,
  type VerdictCache,
} from './verdict.ts';

/** "the maximum length is 1600 bytes" (the same page); longer is 414. */
const METHOD_ARN_BYTES = 1600;

function identity(exchange: Exchange, source: string): string {
  const { request, stage } = exchange;
  const header = /^method\.request\.header\.(.+)$/.exec(source)?.[1];
  // All values, so that two requests which differ in any of them never share a verdict.
  if (header !== undefined) return headerValues(request.headers, header).join(',');
  const parameter = /^method\.request\.querystring\.(.+)$/.exec(source)?.[1];
  if (parameter !== undefined) return (request.query.get(parameter) ?? []).join(',');
  const variable = /^stageVariables\.(.+)$/.exec(source)?.[1];
  if (variable !== undefined) return lookUp(stage?.variables, variable) ?? '';
  return lookUp(contextVariables(exchange), source.replace(/^context\./, '')) ?? '';
}

async function ask(exchange: Exchange, authorizer: AuthorizerModel, arn: string): Promise<Verdict> {
  const { model, outcome } = exchange;
  const { account, region, invoke, mayInvoke } = model.services;
  const source = `arn:aws:execute-api:${region}:${account}:${model.restApiId}/authorizers/${authorizer.id}`;
  if (!mayInvoke(authorizer.functionArn, source)) {
    throw misconfigured(`${authorizer.functionArn} may not be invoked by ${source}`);
  }
  const started = performance.now();
  const { payload, functionError } = await invoke(
    authorizer.functionArn,
    authorizerEvent(exchange, arn),
  ).catch((cause: unknown) => {
    throw failed(`the authorizer could not be invoked: ${String(cause)}`);
  });
  outcome.authorizerLatency = Math.round(performance.now() - started);
  // Exactly this text and no other, thrown or returned, is a 401.
  if (isRecord(payload) && payload['errorMessage'] === 'Unauthorized') {
    throw unauthorized('the authorizer said Unauthorized');
  }
  if (functionError !== undefined) throw failed(`the authorizer failed: ${functionError}`);
  return readVerdict(payload, contextText);
}

/**
 * Lets the request pass, with what the authorizer said in `exchange.authorizer`, or throws.
 *
 * @throws GatewayError UNAUTHORIZED, ACCESS_DENIED, AUTHORIZER_FAILURE, AUTHORIZER_CONFIGURATION_ERROR, or a 414
 */
export async function authorize(
  exchange: Exchange,
  authorizer: AuthorizerModel,
  cache: VerdictCache,
): Promise<void> {
  const { model, request, outcome } = exchange;
  const { now } = model.services;
  const arn = methodArn(exchange);
  if (Buffer.byteLength(arn) > METHOD_ARN_BYTES) {
    throw new GatewayError('DEFAULT_4XX', 'RequestURITooLongException', 'Request URI too long', {
      status: 414,
    });
  }

  const values = authorizer.identitySources.map((source) => identity(exchange, source));
  const cached = authorizer.ttlSeconds > 0;
  // Only a cache needs the sources: without one, "API Gateway directly passes the request to the function".
  if (cached && values.some((value) => value === '')) throw unauthorized('an identity source is missing');
  const key = JSON.stringify([request.stage, authorizer.id, ...values]);
  const live = cached ? cache.get(key, now()) : undefined;

  const verdict = live ?? (await ask(exchange, authorizer, arn));
  if (cached && !live) {
    cache.set(key, { stage: request.stage, verdict, expiresAt: now() + authorizer.ttlSeconds * 1000 });
  }
  exchange.authorizer = {
    ...verdict.context,
    principalId: verdict.principalId,
    integrationLatency: outcome.authorizerLatency ?? 0,
  };

  await demandAllowed(verdict, arn, request.sourceIp, model.services);
}
