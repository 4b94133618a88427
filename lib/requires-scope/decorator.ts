import { answerTo, type Requirements, scopeCheck } from './check.ts';
import type { AuthorizedEvent } from './principal.ts';

type Method<This, Event, Rest extends unknown[], Result> = (
  this: This,
  event: Event,
  ...rest: Rest
) => Promise<Result>;

/**
 * `requiresScope` as a standard decorator (TC39, 2023-11) for a method that takes the event: without the scopes
 * the method is not called, and 401 or 403 is answered. What the method itself throws is not touched.
 *
 * @example
 * class Orders {
 *   @RequiresScope('orders:write')
 *   async create(event: APIGatewayProxyEvent): Promise<APIGatewayProxyResult> {
 *
 * @throws TypeError when the class is loaded, for a requirement that is not like `orders:write`, and on anything
 *   that is not a method
 */
export function RequiresScope(...required: Requirements) {
  const check = scopeCheck(required);
  return <This, Event extends AuthorizedEvent, Rest extends unknown[], Result>(
    method: Method<This, Event, Rest, Result>,
    context: ClassMethodDecoratorContext<This, Method<This, Event, Rest, Result>>,
  ): Method<This, Event, Rest, Result> => {
    if (context?.kind !== 'method')
      throw new TypeError('@RequiresScope belongs on a method (a standard decorator)');

    return async function (event, ...rest) {
      try {
        check(event);
      } catch (error) {
        // A handler's result is what API Gateway takes, and so is this answer.
        return answerTo(error, event) as Result;
      }
      return method.call(this, event, ...rest);
    };
  };
}
