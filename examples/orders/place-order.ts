import { createHash } from 'node:crypto';
import middy from '@middy/core';
import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { Problem, principalOf, requiresScope } from 'rekey/handlers';
import { answer, answerProblem } from './answer.ts';
import type { Order } from './orders.ts';

const MOST = 1000;

const invalid = (pointer: string, detail: string) =>
  new Problem('invalid_request', 'Correct the fields named in errors and send the request again.', {
    extensions: { errors: [{ pointer, detail }] },
  });

const readOrder = (body: string | null): Pick<Order, 'item' | 'quantity'> => {
  let sent: { item?: unknown; quantity?: unknown } | null;
  try {
    sent = JSON.parse(body ?? '');
  } catch {
    throw invalid('', 'must be JSON');
  }
  const { item, quantity = 1 } = sent ?? {};
  if (typeof item !== 'string' || item === '' || item.length > 100) {
    throw invalid('/item', 'must be text of 1 to 100 characters');
  }
  if (typeof quantity !== 'number' || !Number.isInteger(quantity) || quantity < 1 || quantity > MOST) {
    throw invalid('/quantity', `must be a whole number from 1 to ${MOST}`);
  }
  return { item, quantity };
};

const placeOrder = async (event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> => {
  try {
    const { owner_id } = principalOf(event);
    const order = readOrder(event.body);
    // Nothing is kept: the same order gets the same id.
    const id = `order_${createHash('sha256')
      .update(JSON.stringify([owner_id, order]))
      .digest('hex')
      .slice(0, 8)}`;
    const placed_at = new Date(event.requestContext.requestTimeEpoch).toISOString();
    return answer(201, { id, ...order, placed_at, owner_id });
  } catch (error) {
    return answerProblem(error, event);
  }
};

/** `POST /orders`. The scope is checked by a middy middleware, which answers 401 and 403 itself. */
export const handler = middy(placeOrder).use(requiresScope('orders:write'));
