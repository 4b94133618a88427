import { Resolver } from 'node:dns/promises';
import { type IncomingMessage, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { isIPv6, type LookupFunction } from 'node:net';
import { publicAddresses, type Resolve, readWebhookUrl, UrlRefused } from './webhook-url.ts';

/** So much of an answer is kept, for people to read. */
const LONGEST_EXCERPT = 1_024;
/** Milliseconds for one question to DNS, asked twice at most. */
const DNS_TIMEOUT = 2_000;

/** How one request ended: with an answer, or with the reason why there is none. */
export type PostResult =
  | { status: number; excerpt: string; retryAfter: string | undefined }
  | { error: string };

/** What DNS answers when it is sure that there is no address. */
const NO_ADDRESS = new Set(['ENOTFOUND', 'ENODATA', 'EBADNAME']);

/**
 * Asks DNS for both families. Not `dns.lookup`: that blocks one of four threads for each question, so a few names that
 * are slow to resolve would hold up every other delivery; and it reads /etc/hosts.
 *
 * @throws the resolver's error when it has no answer for any family
 */
export async function resolveName(hostname: string): Promise<string[]> {
  const resolver = new Resolver({ timeout: DNS_TIMEOUT, tries: 2 });
  const answers = await Promise.allSettled([resolver.resolve4(hostname), resolver.resolve6(hostname)]);
  const addresses = answers.flatMap((answer) => (answer.status === 'fulfilled' ? answer.value : []));
  if (addresses.length > 0) return addresses;
  const failed = answers.find(
    (answer) => answer.status === 'rejected' && !NO_ADDRESS.has(answer.reason?.code),
  );
  if (failed?.status === 'rejected') throw failed.reason;
  return [];
}

/**
 * What Node asks for addresses right before it connects: they are checked there, and no others are connected to, so a
 * name that had public addresses a moment ago gets nobody inside.
 */
export function guardedLookup(resolve: Resolve): LookupFunction {
  return (hostname, { all }, done) => {
    publicAddresses(hostname, resolve).then(
      (addresses) => {
        const found = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
        if (all) done(null, found);
        else done(null, found[0]!.address, found[0]!.family);
      },
      (error) => done(error, all ? [] : ''),
    );
  };
}

export interface PostOptions {
  headers: Record<string, string>;
  body: string;
  /** Milliseconds for everything: DNS, connecting, sending, the answer. */
  limit: number;
  allowLoopbackHttp: boolean;
  resolve?: Resolve;
}

/**
 * Posts a webhook. Redirects are not followed, and the connection is closed after it.
 *
 * @returns the answer, or the reason why there is none; it never throws
 */
export async function postWebhook(
  text: string,
  { headers, body, limit, allowLoopbackHttp, resolve = resolveName }: PostOptions,
): Promise<PostResult> {
  const signal = AbortSignal.timeout(limit);
  try {
    const url = readWebhookUrl(text, { allowLoopbackHttp });
    const send = url.protocol === 'https:' ? requestHttps : requestHttp;
    const answer = await new Promise<IncomingMessage>((answered, failed) => {
      send(url, {
        method: 'POST',
        headers: { ...headers, 'content-length': Buffer.byteLength(body), connection: 'close' },
        // One connection for one request: nothing that was checked for one is used by another.
        agent: false,
        lookup: guardedLookup(resolve),
        signal,
      })
        .once('response', answered)
        .once('error', failed)
        .end(body);
    });
    return {
      status: answer.statusCode ?? 0,
      excerpt: await readExcerpt(answer),
      retryAfter: answer.headers['retry-after'],
    };
  } catch (error) {
    return { error: signal.aborted ? 'timeout' : nameOf(error) };
  }
}

/** The beginning of the body; of an endless one no more is read. */
async function readExcerpt(answer: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of answer) {
    chunks.push(chunk);
    length += chunk.length;
    // Leaving the loop destroys the stream, and the connection with it.
    if (length >= LONGEST_EXCERPT) break;
  }
  return Buffer.concat(chunks).subarray(0, LONGEST_EXCERPT).toString('utf8').replaceAll('\0', '');
}

/** What people can look up: the refused rule, or the code of the error (`ECONNREFUSED`, `CERT_HAS_EXPIRED`). */
function nameOf(error: unknown): string {
  if (error instanceof UrlRefused) return `refused: ${error.rule}`;
  const { code, name } = error as { code?: unknown; name?: unknown };
  return String(code ?? name).slice(0, 100);
}
