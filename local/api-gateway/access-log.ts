import type { Exchange, GatewayError } from './exchange.ts';
import { contextVariables, lookUp } from './variables.ts';

/** A value inside a JSON text: quotes and control characters of a client must not break the line. */
const escaped = (value: string) => JSON.stringify(value).slice(1, -1);

/**
 * One line in the stage's format: an object if the format is JSON, else `{ message }`. A variable with no value
 * is `-`, as in AWS.
 */
export function accessLogLine(
  format: string,
  exchange: Exchange,
  result: { status: number; responseLength: number; latencyMs: number; error?: GatewayError },
): Record<string, unknown> {
  const { outcome, requestId, authorizer, request } = exchange;
  const variables = {
    ...contextVariables(exchange, result.error),
    status: result.status,
    responseLength: result.responseLength,
    responseLatency: result.latencyMs,
    integrationLatency: outcome.integrationLatency,
    integrationStatus: outcome.integrationStatus,
    integrationErrorMessage: outcome.failure,
    integration: {
      latency: outcome.integrationLatency,
      integrationStatus: outcome.integrationStatus,
      status: outcome.integrationStatus,
      error: outcome.failure,
    },
    authorizer: { ...authorizer, latency: outcome.authorizerLatency, requestId },
    xrayTraceId: request.traceId.split(/[=;]/)[1],
  };
  return fillFormat(format, variables);
}

/** The format with the variables of one request in it: an object if it is JSON, else `{ message }`. */
export function fillFormat(format: string, variables: unknown): Record<string, unknown> {
  const line = format.replace(/\$context((?:\.\w+)+)/g, (_, path: string) =>
    escaped(lookUp(variables, path.slice(1)) ?? '-'),
  );
  try {
    const parsed: unknown = JSON.parse(line);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed)) {
      return parsed as Record<string, unknown>;
    }
  } catch {
    // A format in plain text, or one with an unquoted variable that had no value.
  }
  return { message: line };
}
