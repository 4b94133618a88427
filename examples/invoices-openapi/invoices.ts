import type { APIGatewayProxyEvent, APIGatewayProxyEventV2, APIGatewayProxyResult } from 'aws-lambda';
import { principalOf } from 'rekey/handlers';

const answer = (statusCode: number, body: unknown): APIGatewayProxyResult => ({
  statusCode,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  body: JSON.stringify(body),
});

/** Every operation of invoices.yaml, of a REST API (examples/terraform) or an HTTP API (examples/sam). */
export const handler = async (
  event: APIGatewayProxyEvent | APIGatewayProxyEventV2,
): Promise<APIGatewayProxyResult> => {
  const route = 'routeKey' in event ? event.routeKey : `${event.httpMethod} ${event.resource}`;
  if (route === 'GET /health') return answer(200, { status: 'ok' });
  const { owner_id } = principalOf(event);
  const invoice = { id: event.pathParameters?.['id'] ?? 'invoice_1', owner_id, amount: '42.00' };
  if (route === 'POST /invoices') return answer(201, invoice);
  return answer(200, route === 'GET /invoices' ? { data: [invoice] } : invoice);
};
