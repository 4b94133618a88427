import { randomBytes, randomUUID } from 'node:crypto';
import type { MethodModel, ResourceModel, ResponseType, RestApiModel, StageModel } from './model.ts';
import type { GatewayRequest } from './request.ts';

/** A request on its way through the API: what is known of it so far. */
export interface Exchange {
  model: RestApiModel;
  request: GatewayRequest;
  requestId: string;
  extendedRequestId: string;
  userAgent: string | null;
  /** Milliseconds since 1970, by the stack's clock. */
  receivedAt: number;
  stage?: StageModel;
  resource?: ResourceModel;
  method?: MethodModel;
  pathParameters: Record<string, string>;
  /** `principalId`, the context as text, `integrationLatency`. Stays after a Deny, for the gateway response. */
  authorizer?: Record<string, string | number>;
  /** For the access log only. */
  outcome: {
    authorizerLatency?: number;
    integrationLatency?: number;
    integrationStatus?: number;
    /** For the developer at the laptop; API Gateway writes such a line into its execution log. */
    failure?: string;
  };
}

/** API Gateway answers by itself, with a gateway response. */
export class GatewayError extends Error {
  readonly responseType: ResponseType;
  readonly errorType: string;
  readonly publicMessage: string | null;
  readonly status?: number;

  /**
   * @param publicMessage `$context.error.message`; null where AWS has `{"message":null}`.
   * @param why for the log, never for the client.
   * @param status where AWS answers another than the response type's own.
   */
  constructor(
    responseType: ResponseType,
    errorType: string,
    publicMessage: string | null,
    { why, status }: { why?: string; status?: number } = {},
  ) {
    super(why ?? publicMessage ?? responseType);
    this.responseType = responseType;
    this.errorType = errorType;
    this.publicMessage = publicMessage;
    if (status !== undefined) this.status = status;
  }
}

export const newExchange = (
  model: RestApiModel,
  request: GatewayRequest,
  userAgent: string | null,
): Exchange => ({
  model,
  request,
  userAgent,
  requestId: randomUUID(),
  // Like `VwjwNFuUIAMFrRA=`: 15 characters of base64 and the padding.
  extendedRequestId: `${randomBytes(11).toString('base64url').slice(0, 15).replaceAll('_', '-')}=`,
  receivedAt: model.services.now(),
  pathParameters: {},
  outcome: {},
});

/** `arn:aws:execute-api:us-east-1:000000000000:a1b2c3d4e5/v1/GET/orders/42`; the path as it was sent. */
export function methodArn({ model, request }: Exchange): string {
  const { account, region } = model.services;
  const path = request.path.replace(/^\/+/, '');
  return `arn:aws:execute-api:${region}:${account}:${model.restApiId}/${request.stage}/${request.method}/${path}`;
}
