import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { Problem, principalOf, RequiresScope } from 'rekey/handlers';
import { answer, answerProblem } from './answer.ts';
import { orders } from './orders.ts';

class Refunds {
  @RequiresScope('orders:refund')
  async refund(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
    try {
      const order = orders.find(({ id }) => id === event.pathParameters?.['id']);
      if (!order) throw new Problem('not_found', 'There is no order with this id. GET /orders lists them.');
      return answer(200, { ...order, refunded_by: principalOf(event).key_id });
    } catch (error) {
      return answerProblem(error, event);
    }
  }
}

const refunds = new Refunds();

/** `POST /orders/{id}/refund`. The scope is checked by a decorator, on a method of a class of handlers. */
export const handler = (event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> => refunds.refund(event);
