import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, APIGatewayProxyResult } from 'aws-lambda';
import { principalOf } from 'rekey/handlers';

/** All routes of the catalog, behind the REST and the HTTP API: says which product, for whom. */
export const handler = async (
  event: APIGatewayProxyEvent | APIGatewayProxyEventV2,
): Promise<APIGatewayProxyResult> => {
  const { owner_id } = principalOf(event);
  const { id, path } = event.pathParameters ?? {};
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify({ id, path, owner_id }),
  };
};
