import { createHash, createHmac, hash, timingSafeEqual } from 'node:crypto';
import { SignatureV4 } from '@smithy/signature-v4';

export interface SignedRequest {
  method: string;
  /** As on the wire, percent-encoded, without the query string. */
  path: string;
  query?: Record<string, string | string[]>;
  /** Lower-case names. */
  headers: Record<string, string | string[] | undefined>;
  body: Uint8Array;
}

export interface Identity {
  accessKeyId: string;
  secretAccessKey: string;
}

/** Why a request has no identity, under the name AWS gives it. */
export class SignatureProblem extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.name = 'SignatureProblem';
    this.code = code;
  }
}

/** AWS's tolerance for JSON services is five minutes either way. */
const toleranceMs = 5 * 60_000;

const form =
  /^AWS4-HMAC-SHA256 Credential=([^/\s,]{1,128})\/(\d{8})\/([a-z0-9-]{1,64})\/([a-z0-9-]{1,64})\/aws4_request, ?SignedHeaders=([a-z0-9;_-]{1,1024}), ?Signature=([0-9a-f]{64})$/;

/** The service that a request was signed for; undefined without a signature of the right form. */
export const serviceOf = (headers: SignedRequest['headers']): string | undefined =>
  form.exec(String(headers['authorization'] ?? ''))?.[4];

/** Node's hashing in the shape that the signer wants. */
class Sha256 {
  #hash;
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash = secret === undefined ? createHash('sha256') : createHmac('sha256', bytes(secret));
  }
  update(data: string | ArrayBuffer | ArrayBufferView): void {
    this.#hash.update(bytes(data));
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest();
  }
  reset(): void {
    throw new Error('a hash is used once');
  }
}

const bytes = (data: string | ArrayBuffer | ArrayBufferView): Uint8Array => {
  if (typeof data === 'string') return Buffer.from(data);
  if (data instanceof ArrayBuffer) return new Uint8Array(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
};

/**
 * Finds out who signed a request (AWS Signature Version 4, in the `Authorization` header).
 *
 * The signature is computed again by Smithy's signer from what arrived: the signed headers, the body and the date.
 * The host, the date and every `x-amz-*` header must be among the signed ones, as AWS wants it.
 *
 * @param find who has this access key id
 * @param now the stack's clock, in ms
 * @throws SignatureProblem with AWS's error name
 */
export async function identify<Who extends Identity>(
  request: SignedRequest,
  o: { service: string; region: string; now: number; find(accessKeyId: string): Who | undefined },
): Promise<Who> {
  const authorization = request.headers['authorization'];
  if (authorization === undefined) {
    throw new SignatureProblem(
      'MissingAuthenticationTokenException',
      'Request is missing Authentication Token',
    );
  }
  const parts = typeof authorization === 'string' ? form.exec(authorization) : null;
  const date = request.headers['x-amz-date'];
  if (parts === null || typeof date !== 'string' || !/^\d{8}T\d{6}Z$/.test(date)) {
    throw new SignatureProblem(
      'IncompleteSignatureException',
      'The Authorization header or X-Amz-Date is missing or malformed.',
    );
  }
  const [, accessKeyId, day, region, service, signedHeaders, signature] = parts as unknown as string[];

  const who = o.find(accessKeyId!);
  if (who === undefined) {
    throw new SignatureProblem(
      'UnrecognizedClientException',
      'The security token included in the request is invalid.',
    );
  }
  const invalid = (message: string) => new SignatureProblem('InvalidSignatureException', message);
  if (region !== o.region) throw invalid(`Credential should be scoped to a valid region, not '${region}'.`);
  if (service !== o.service) throw invalid(`Credential should be scoped to correct service: '${o.service}'.`);
  if (day !== date.slice(0, 8)) {
    throw invalid(`Date in Credential scope does not match YYYYMMDD from X-Amz-Date: ${day} != ${date}`);
  }
  checkDate(date, o.now, invalid);

  const names = signedHeaders!.split(';');
  for (const name of Object.keys(request.headers)) {
    if ((name === 'host' || name.startsWith('x-amz-')) && !names.includes(name)) {
      throw invalid(`'${name}' must be a 'SignedHeader' in the AWS Authorization header.`);
    }
  }
  const headers: Record<string, string> = {};
  for (const name of names) {
    const value = request.headers[name];
    if (typeof value !== 'string') throw invalid(mismatch);
    headers[name] = value;
  }
  // The signer believes this header; the body may be another one.
  const claimed = headers['x-amz-content-sha256'];
  if (claimed !== undefined && claimed !== hash('sha256', request.body, 'hex')) throw invalid(mismatch);

  const expected = await signatureOf(request, headers, { who, region: o.region, service: o.service, date });
  if (!timingSafeEqual(Buffer.from(expected, 'hex'), Buffer.from(signature!, 'hex'))) throw invalid(mismatch);
  return who;
}

const mismatch =
  'The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details.';

function checkDate(date: string, now: number, invalid: (message: string) => Error): void {
  const time = parseDate(date);
  if (Number.isNaN(time)) throw invalid(`Invalid date: ${date}`);
  const here = compact(now);
  if (time < now - toleranceMs) {
    throw invalid(
      `Signature expired: ${date} is now earlier than ${compact(now - toleranceMs)} (${here} - 5 min.)`,
    );
  }
  if (time > now + toleranceMs) {
    throw invalid(
      `Signature not yet current: ${date} is still later than ${compact(now + toleranceMs)} (${here} + 5 min.)`,
    );
  }
}

const compact = (time: number): string => new Date(time).toISOString().replace(/[-:]|\.\d{3}/g, '');

const parseDate = (text: string): number =>
  Date.parse(text.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'));

async function signatureOf(
  request: SignedRequest,
  headers: Record<string, string>,
  scope: { who: Identity; region: string; service: string; date: string },
): Promise<string> {
  const signer = new SignatureV4({
    credentials: { accessKeyId: scope.who.accessKeyId, secretAccessKey: scope.who.secretAccessKey },
    region: scope.region,
    service: scope.service,
    sha256: Sha256,
    applyChecksum: false,
  });
  const signed = await signer.sign(
    {
      method: request.method,
      protocol: 'http:',
      hostname: '',
      path: request.path,
      query: request.query ?? {},
      headers,
      body: request.body,
    },
    {
      signingDate: new Date(parseDate(scope.date)),
      // Whatever the client chose to sign is signed here, also what this signer leaves out by default.
      signableHeaders: new Set(Object.keys(headers)),
    },
  );
  return signed.headers['authorization']!.slice(-64);
}
