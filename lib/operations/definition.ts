import type { z } from 'zod';
import type { Caller } from '../caller.ts';
import type { Origin } from '../event.ts';
import type { ProblemCode } from '../problem.ts';

/** What an operation is given: everything in it has been checked against the operation's schemas. */
export interface OperationRequest<Query, Body> {
  /** Of a public operation one that may do nothing. */
  caller: Caller;
  /** The `{id}` of the path; empty where the path has none. */
  id: string;
  /** Every id of the path by its name, `{id}` among them. */
  ids: Readonly<Record<string, string>>;
  query: Query;
  body: Body;
  /** The Idempotency-Key header, where the operation takes one and the caller sent one. */
  idempotency_key: string | undefined;
  /** Epoch milliseconds at which the request came in: the one clock of all its decisions. */
  now: number;
  /** What the events of this request say of it: caller and clock, and where it came from. */
  origin: Origin;
}

/**
 * Who may call an operation: whoever holds its scope; or, said on purpose, any valid key, which it then lets do
 * something to that key alone; or everybody, without a key. Written in the operation only: the authorizer's route table and the boundary read it.
 */
type Access =
  | { scope: string; authenticated?: never; public?: never; throttle?: never }
  | { authenticated: true; scope?: never; public?: never; throttle?: never }
  | {
      public: true;
      /** Of all callers together: nobody else limits them. */
      throttle: { requestsPerSecond: number; burst: number };
      scope?: never;
      authenticated?: never;
    };

interface Definition<Query extends z.ZodType, Body extends z.ZodType, Answer extends z.ZodType> {
  /** Also the name of its file in functions/ and of its Lambda. */
  name: string;
  method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** As API Gateway writes it: `/api-keys/{id}`. */
  path: string;
  /** What the ids of the path look like, by name. @default `{id}` is a key's */
  ids?: Readonly<Record<string, z.ZodType<string>>>;
  summary: string;
  description: string;
  /** Query parameters by name, each a string; absent: none are taken. */
  query?: Query;
  body?: Body;
  /** Bytes. @default 16 KB */
  largestBody?: number;
  /** Whether a request without a body means `{}`. */
  bodyOptional?: true;
  /** Whether the body is where the text of a key belongs. Everywhere else it is refused. */
  takesKey?: true;
  /**
   * Asked before the body is read as JSON, with its text as it was sent. For callers that sign what they send.
   *
   * @throws what is answered to a caller that is not the one it says
   */
  admit?(request: { text: string; headers: Readonly<Record<string, string | undefined>> }): Promise<void>;
  /** Whether it takes an Idempotency-Key. */
  idempotent?: true;
  /** With 204 nothing is sent, and the schema is of null. */
  answer: { status: 200 | 201 | 202 | 204; description: string; schema: Answer };
  /** The problems of its own; those of the boundary (`boundaryProblems`) come on top. */
  problems: readonly ProblemCode[];
  examples: { query?: Record<string, string>; body?: unknown; answer: z.output<Answer> };
  run(request: OperationRequest<z.output<Query>, z.output<Body>>): Promise<z.output<Answer>>;
}

/** One operation of the management API: what it takes, what it needs, what it answers. The route is made of this. */
export type Operation<
  Query extends z.ZodType = z.ZodType,
  Body extends z.ZodType = z.ZodType,
  Answer extends z.ZodType = z.ZodType,
> = Definition<Query, Body, Answer> & Access;

/** Gives an operation the types of its own schemas. */
export const defineOperation = <Query extends z.ZodType, Body extends z.ZodType, Answer extends z.ZodType>(
  operation: Operation<Query, Body, Answer>,
): Operation<Query, Body, Answer> => operation;
