import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from 'aws-lambda';
import { principalOf } from 'rekey/handlers';

/** `GET /shipments` and `GET /shipments/{id}`: whoever gets here has the scopes of the route. */
export const handler = async (event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> => {
  const { owner_id } = principalOf(event);
  const id = event.pathParameters?.['id'];
  const shipment = { id: id ?? 'shipment_1', owner_id, carrier: 'pigeon' };
  return {
    statusCode: 200,
    headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
    body: JSON.stringify(id === undefined ? { data: [shipment] } : shipment),
  };
};
