import { AwsError } from './aws-error.ts';
import type { Answer, AwsCall, Intercept } from './aws-front.ts';

/**
 * What goes wrong with one call: it is throttled or fails and reaches nothing; the service does it and the answer never
 * comes (`timeout`); or the function's process ends before the call reaches the service, or after the service did it and
 * before the answer.
 */
export const FAULTS = ['throttle', 'error', 'timeout', 'crash_before', 'crash_after'] as const;

/** A fault to come. */
export interface Fault {
  /** Name of the function that makes the call. */
  function: string;
  /** `dynamodb:TransactWriteItems` */
  call: string;
  /** Which of its calls of this kind, counted from when the fault was asked for. */
  nth: number;
  fault: (typeof FAULTS)[number];
}

/** A call that a function made. */
export interface RecordedCall {
  time: string;
  function: string;
  call: string;
  /** Of the invocation that made it. */
  request_id: string | undefined;
  /** Undefined while it goes on, and for good when no answer was sent. */
  status: number | undefined;
  fault: Fault['fault'] | undefined;
}

export interface Faults {
  intercept: Intercept;
  add(fault: Fault): void;
  clear(): void;
  /** All that were asked for, and the call that each has hit. */
  list(): (Fault & { hit: RecordedCall | null })[];
  /** The last calls of all functions, in the order in which they arrived. */
  calls(): RecordedCall[];
  forgetCalls(): void;
}

const MOST_CALLS = 10_000;

/** Makes calls of functions fail on demand, and remembers what they called. @param now the stack's clock, in ms */
export function openFaults(now: () => number): Faults {
  let faults: (Fault & { hit: RecordedCall | null; seen: number })[] = [];
  let calls: RecordedCall[] = [];

  /** The fault that this call meets. Each that waits for calls of its kind counts it. */
  function met(recorded: RecordedCall): Fault['fault'] | undefined {
    let found: Fault['fault'] | undefined;
    for (const fault of faults) {
      if (fault.hit !== null || fault.function !== recorded.function || fault.call !== recorded.call)
        continue;
      fault.seen += 1;
      if (fault.seen < fault.nth || found !== undefined) continue;
      fault.hit = recorded;
      found = fault.fault;
    }
    return found;
  }

  return {
    async intercept(call, proceed) {
      const recorded: RecordedCall = {
        time: new Date(now()).toISOString(),
        function: call.principal.sessionName ?? '',
        call: `${call.service}:${call.operation}`,
        request_id: call.principal.process?.invocationId,
        status: undefined,
        fault: undefined,
      };
      calls.push(recorded);
      if (calls.length > MOST_CALLS) calls.shift();
      recorded.fault = met(recorded);
      try {
        const answer = await withFault(recorded.fault, call, proceed);
        recorded.status = answer.status;
        return answer;
      } catch (error) {
        if (error instanceof AwsError) recorded.status = error.status;
        throw error;
      }
    },
    add(fault) {
      faults.push({ ...fault, hit: null, seen: 0 });
    },
    clear() {
      faults = [];
    },
    list: () => faults.map(({ seen: _seen, ...fault }) => fault),
    calls: () => calls,
    forgetCalls() {
      calls = [];
    },
  };
}

async function withFault(
  fault: Fault['fault'] | undefined,
  call: AwsCall,
  proceed: () => Promise<Answer>,
): Promise<Answer> {
  switch (fault) {
    case undefined:
      return proceed();
    case 'throttle':
      throw throttled(call);
    case 'error':
      throw failed(call);
    case 'timeout':
      await proceed();
      return neverAnswered(call);
    case 'crash_before':
      call.principal.process?.kill();
      return neverAnswered(call);
    case 'crash_after':
      await proceed();
      call.principal.process?.kill();
      return neverAnswered(call);
  }
}

/** Waits until the caller gives up. */
function neverAnswered({ request: { gone } }: AwsCall): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = (): void => reject(new Error('the caller is gone'));
    if (gone.aborted) end();
    else gone.addEventListener('abort', end, { once: true });
  });
}

/**
 * As the service answers it when there is too much.
 *
 * A transaction is told so in its reasons, and the SDK does not retry it by itself:
 * https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_TransactWriteItems.html
 */
function throttled({ service, operation, input }: AwsCall): AwsError {
  if (service === 'dynamodb' && /^Transact/.test(operation)) {
    const items = Array.isArray(input['TransactItems']) ? input['TransactItems'] : [];
    const reasons = items.map((_item, index) =>
      index === 0
        ? {
            Code: 'ThrottlingError',
            Message:
              'Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.',
          }
        : { Code: 'None' },
    );
    return new AwsError(
      'TransactionCanceledException',
      `Transaction cancelled, please refer cancellation reasons for specific reasons [${reasons.map(({ Code }) => Code).join(', ')}]`,
      400,
      { details: { CancellationReasons: reasons } },
    );
  }
  switch (service) {
    case 'dynamodb':
      return new AwsError(
        'ThrottlingException',
        'Throughput exceeds the current capacity of your table or index. DynamoDB is automatically scaling your table or index so please try again shortly.',
      );
    case 'sqs':
      return new AwsError('RequestThrottled', 'Request is throttled.', 400, {
        headers: { 'x-amzn-query-error': 'RequestThrottled;Sender' },
      });
    case 'lambda':
    case 'apigateway':
      return new AwsError('TooManyRequestsException', 'Rate exceeded', 429);
    case 'sts':
      return new AwsError('Throttling', 'Rate exceeded');
    default:
      return new AwsError('ThrottlingException', 'Rate exceeded');
  }
}

/** By service, the name of its own failure. */
const FAILURES: Record<string, string> = {
  dynamodb: 'InternalServerError',
  sqs: 'InternalError',
  events: 'InternalException',
  secretsmanager: 'InternalServiceError',
  kms: 'KMSInternalException',
  lambda: 'ServiceException',
  sts: 'InternalFailure',
};

const failed = ({ service }: AwsCall): AwsError =>
  new AwsError(
    FAILURES[service] ?? 'InternalFailure',
    'The request processing has failed because of an unknown error, exception or failure.',
    500,
  );
