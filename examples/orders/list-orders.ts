import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { requiresScope } from 'rekey/handlers';
import { answer, answerProblem } from './answer.ts';
import { orders } from './orders.ts';

const mayRead = requiresScope('orders:read');

/** `GET /orders`. The scope is checked by a plain call, which says who calls. */
export const handler = async (event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> => {
  try {
    const { owner_id } = mayRead(event);
    return answer(200, { data: orders.map((order) => ({ ...order, owner_id })) });
  } catch (error) {
    return answerProblem(error, event);
  }
};
