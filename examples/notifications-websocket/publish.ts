import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import { Problem, requiresScope, toResponse } from 'rekey/handlers';

const mayPublish = requiresScope('notifications:write');

/** `{"action": "publish", "text": "…"}`. API Gateway checks nothing after `$connect`, so this does. */
export const handler = async (event: APIGatewayProxyWebsocketEventV2) => {
  try {
    const { owner_id } = mayPublish(event);
    return { statusCode: 200, body: JSON.stringify({ published_by: owner_id }) };
  } catch (error) {
    if (error instanceof Problem) return toResponse(error, event.requestContext.requestId);
    throw error;
  }
};
