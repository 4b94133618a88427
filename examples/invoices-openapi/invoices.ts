import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { principalOf } from 'rekey/handlers';

const answer = (statusCode: number, body: unknown): APIGatewayProxyResult => ({
  statusCode,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  body: JSON.stringify(body),
});

/** Every operation of invoices.yaml. */
export const handler = async (event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> => {
  if (event.resource === '/health') return answer(200, { status: 'ok' });
  const { owner_id } = principalOf(event);
  const invoice = { id: event.pathParameters?.['id'] ?? 'invoice_1', owner_id, amount: '42.00' };
  if (event.httpMethod === 'POST') return answer(201, invoice);
  return answer(200, event.resource === '/invoices' ? { data: [invoice] } : invoice);
};
