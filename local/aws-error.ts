/** An error that a service of AWS answers with, under the name and in the words of AWS. */
export class AwsError extends Error {
  readonly code: string;
  readonly status: number;
  readonly headers: Record<string, string>;
  /** More members of the error's body: a cancelled transaction's `CancellationReasons`. */
  readonly details: Record<string, unknown>;
  constructor(
    code: string,
    message: string,
    status = 400,
    more: { headers?: Record<string, string>; details?: Record<string, unknown> } = {},
  ) {
    super(message);
    this.name = 'AwsError';
    this.code = code;
    this.status = status;
    this.headers = more.headers ?? {};
    this.details = more.details ?? {};
  }
}
