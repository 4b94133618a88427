import type { APIGatewayProxyWebsocketEventV2 } from 'aws-lambda';
import { Problem, requiresScope } from 'rekey/handlers';

const mayListen = requiresScope('notifications:read');

/** `$connect`: any other answer than 2xx keeps the connection shut. */
export const handler = async (event: APIGatewayProxyWebsocketEventV2) => {
  try {
    mayListen(event);
    return { statusCode: 200 };
  } catch (error) {
    if (error instanceof Problem) return { statusCode: error.status };
    throw error;
  }
};
