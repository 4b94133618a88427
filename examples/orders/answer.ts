import type { APIGatewayProxyEvent, APIGatewayProxyResult } from 'aws-lambda';
import { Problem, toResponse } from 'rekey/handlers';

/** A JSON answer; what it shows belongs to one caller, so nobody keeps it. */
export const answer = (statusCode: number, body: unknown): APIGatewayProxyResult => ({
  statusCode,
  headers: { 'content-type': 'application/json', 'cache-control': 'no-store' },
  body: JSON.stringify(body),
});

/** The answer to a problem; anything else is thrown on, and becomes API Gateway's 5XX. */
export const answerProblem = (error: unknown, event: APIGatewayProxyEvent): APIGatewayProxyResult => {
  if (error instanceof Problem) return toResponse(error, event.requestContext.requestId);
  throw error;
};
