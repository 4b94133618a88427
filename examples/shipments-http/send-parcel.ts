import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { Problem, requiresScope, toResponse } from 'rekey/handlers';

const maySend = requiresScope('shipments:write');

/** `POST /shipments`. The route lets any valid key in; the scope is checked here, and the answer names what is missing. */
export const handler = async (event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> => {
  try {
    const { owner_id } = maySend(event);
    return {
      statusCode: 201,
      headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
      body: JSON.stringify({ id: 'shipment_2', owner_id }),
    };
  } catch (error) {
    if (error instanceof Problem)
      return toResponse(error, event.requestContext.requestId) as APIGatewayProxyStructuredResultV2;
    throw error;
  }
};
