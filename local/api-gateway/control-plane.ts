import { AwsError } from '../aws-error.ts';
import { Answer, type AwsRequest, type AwsService } from '../aws-front.ts';
import type { ServedApi } from './server.ts';

/** Names the cache of a stage's authorizers, of a REST API or (`/v2`) of an HTTP API. */
const CACHE = /^(?:\/restapis|\/v2\/apis)\/([^/]+)\/stages\/([^/]+)\/cache\/authorizers$/;

function operationOf({ method, path }: AwsRequest) {
  const [, apiId, stageName] = CACHE.exec(path) ?? [];
  if (method !== 'DELETE' || apiId === undefined || stageName === undefined) return undefined;
  const operation = path.startsWith('/v2/') ? 'ResetAuthorizersCache' : 'FlushStageAuthorizersCache';
  return {
    operation,
    input: { apiId: decodeURIComponent(apiId), stageName: decodeURIComponent(stageName) },
  };
}

/**
 * API Gateway's control plane, as far as our functions need it: forgetting what the authorizers of a stage said.
 * https://docs.aws.amazon.com/apigateway/latest/api/API_FlushStageAuthorizersCache.html and, of HTTP APIs,
 * https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/apis-apiid-stages-stagename-cache-authorizers.html
 *
 * @param apis those that are served by now
 */
export function apiGatewayService({
  apis,
  region,
}: {
  apis: readonly ServedApi[];
  region: string;
}): AwsService {
  return {
    name: 'apigateway',
    protocol: { kind: 'rest', operationOf },
    questions: ({ request }) => [
      {
        // Its actions are HTTP methods, its ARNs are paths, without the version of the API.
        action: 'apigateway:DELETE',
        resource: `arn:aws:apigateway:${region}::${decodeURIComponent(request.path).replace(/^\/v2\//, '/')}`,
        context: {},
      },
    ],
    async handle({ operation, input, principal }) {
      // Whoever calls sees the APIs of their own account.
      const own = principal.roleArn.split(':')[4];
      const api = apis.find(({ apiId, account }) => apiId === input['apiId'] && account === own);
      const isRest = operation === 'FlushStageAuthorizersCache';
      if (api === undefined || api.isRest !== isRest)
        throw new AwsError('NotFoundException', 'Invalid API identifier specified', 404);
      if (!api.flushAuthorizers(String(input['stageName'])))
        throw new AwsError('NotFoundException', 'Invalid stage identifier specified', 404);
      return new Answer(isRest ? 202 : 204, {}, Buffer.alloc(0));
    },
  };
}
