import { GatewayError } from '../api-gateway/exchange.ts';
import type { AuthorizerModel, Services } from '../api-gateway/model.ts';
import {
  demandAllowed,
  failed,
  isRecord,
  misconfigured,
  readVerdict,
  unauthorized,
  type Verdict,
  type VerdictCache,
} from '../api-gateway/verdict.ts';

/** What one request asks of its route's authorizer. */
export interface Question<Value> {
  apiId: string;
  stage: string;
  services: Services;
  authorizer: AuthorizerModel;
  cache: VerdictCache<Value>;
  /** What the policy is about: `arn:…:<api>/<stage>/GET/orders`, `arn:…:<api>/<stage>/$connect`. */
  arn: string;
  sourceIp: string;
  /** The value of an identity source; empty or undefined: it is missing. */
  identity(source: string): string | undefined;
  event(identitySource: string[]): unknown;
  contextValue(value: unknown): Value | undefined;
  /** Whether an error that is thrown as `Unauthorized` is a 401, as one that is returned is. */
  thrownIs401: boolean;
}

async function ask<Value>(question: Question<Value>, identitySource: string[]): Promise<Verdict<Value>> {
  const { services, authorizer, apiId } = question;
  const source = `arn:aws:execute-api:${services.region}:${services.account}:${apiId}/authorizers/${authorizer.id}`;
  if (!services.mayInvoke(authorizer.functionArn, source)) {
    throw misconfigured(`${authorizer.functionArn} may not be invoked by ${source}`);
  }
  const { payload, functionError } = await services
    .invoke(authorizer.functionArn, question.event(identitySource))
    .catch((cause: unknown) => {
      throw failed(`the authorizer could not be invoked: ${String(cause)}`);
    });
  const saysNo = isRecord(payload) && payload['errorMessage'] === 'Unauthorized';
  if (saysNo && (functionError === undefined || question.thrownIs401)) {
    throw unauthorized('the authorizer said Unauthorized');
  }
  if (functionError !== undefined) throw failed(`the authorizer failed: ${functionError}`);
  return readVerdict(payload, question.contextValue);
}

/**
 * Gives what the authorizer said of a request that may pass.
 *
 * @throws GatewayError UNAUTHORIZED, ACCESS_DENIED, AUTHORIZER_FAILURE, AUTHORIZER_CONFIGURATION_ERROR
 */
export async function authorize<Value>(question: Question<Value>): Promise<Verdict<Value>> {
  const { authorizer, cache, stage, services } = question;
  const values = authorizer.identitySources.map((source) => question.identity(source) ?? '');
  // With or without a cache: "Otherwise, it returns a 401 Unauthorized response without calling the Lambda function".
  if (values.some((value) => value === '')) throw unauthorized('an identity source is missing');
  const cached = authorizer.ttlSeconds > 0;
  const key = JSON.stringify([stage, authorizer.id, ...values]);
  const live = cached ? cache.get(key, services.now()) : undefined;
  const verdict = live ?? (await ask(question, values));
  if (cached && !live) {
    cache.set(key, { stage, verdict, expiresAt: services.now() + authorizer.ttlSeconds * 1000 });
  }
  await demandAllowed(verdict, question.arn, question.sourceIp, services);
  return verdict;
}

/** An error as one of API Gateway's own, so that nothing else ever reaches a client. */
export const asGatewayError = (cause: unknown): GatewayError =>
  cause instanceof GatewayError
    ? cause
    : new GatewayError('DEFAULT_5XX', 'InternalFailureException', 'Internal server error', {
        why: `the laptop stack itself failed: ${cause instanceof Error ? cause.stack : String(cause)}`,
      });
