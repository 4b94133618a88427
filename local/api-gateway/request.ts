import { randomBytes } from 'node:crypto';

/** One request as API Gateway understood it. Header and parameter names keep their spelling. */
export interface GatewayRequest {
  method: string;
  /** As sent, with the stage, still percent-encoded: `/v1/orders/42`. */
  fullPath: string;
  stage: string;
  /** Without the stage: `/orders/42`. */
  path: string;
  /** What functions get to see. Two spellings of a name are two entries, as in API Gateway. */
  headers: Map<string, string[]>;
  query: Map<string, string[]>;
  body: string | null;
  sourceIp: string;
  /** `Root=1-…;Parent=…;Sampled=0` */
  traceId: string;
}

/** "API Gateway enacts the following restrictions": the `lambda` column of the table of request headers. */
const DROPPED = new Set([
  'connection',
  // "Passthrough (generated based on body)", but no recorded event has it (LocalStack's snapshots of AWS).
  'content-length',
  'content-md5',
  'expect',
  'max-forwards',
  'proxy-authenticate',
  'server',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
  'www-authenticate',
]);

const REPLACED = new Set(['x-amzn-trace-id', 'x-forwarded-for', 'x-forwarded-port', 'x-forwarded-proto']);

const grouped = (pairs: Iterable<[string, string]>): Map<string, string[]> => {
  const groups = new Map<string, string[]>();
  for (const [name, value] of pairs) {
    const values = groups.get(name);
    if (values) values.push(value);
    else groups.set(name, [value]);
  }
  return groups;
};

/** Node gives names and values in turn. Its `headers` would join or drop what was sent twice. */
export function headerPairs(rawHeaders: readonly string[]): [string, string][] {
  return rawHeaders.flatMap((name, index): [string, string][] =>
    index % 2 === 0 ? [[name, rawHeaders[index + 1] ?? '']] : [],
  );
}

/** All values under any spelling of a name, in the order sent. */
export function headerValues(headers: Iterable<[string, string[]]>, name: string): string[] {
  const wanted = name.toLowerCase();
  return [...headers].flatMap(([spelling, values]) => (spelling.toLowerCase() === wanted ? values : []));
}

/** The last value of each name, which is the one API Gateway puts into the single-value maps. */
export function lastValues(groups: Map<string, string[]>): Record<string, string> {
  // Object.fromEntries makes own properties even of `__proto__`.
  return Object.fromEntries([...groups].map(([name, values]) => [name, values.at(-1) ?? '']));
}

export function allValues(groups: Map<string, string[]>): Record<string, string[]> {
  return Object.fromEntries(groups);
}

const hex = (bytes: number) => randomBytes(bytes).toString('hex');

/** The trace of the caller goes on, if it sent one; else a new one (X-Ray developer guide, tracing header). */
export function traceIdOf(sent: string | undefined, now: number): string {
  const root =
    /(?:^|;)\s*root=(1-[0-9a-f]{8}-[0-9a-f]{24})(?:;|$)/i.exec(sent ?? '')?.[1] ??
    `1-${Math.floor(now / 1000)
      .toString(16)
      .padStart(8, '0')}-${hex(12)}`;
  return `Root=${root};Parent=${hex(8)};Sampled=0`;
}

/** The headers that authorizer and integration get. */
export function forwardedHeaders(
  pairs: readonly [string, string][],
  connection: { sourceIp: string; port: number; traceId: string },
): Map<string, string[]> {
  const kept = pairs.filter(([spelling, value]) => {
    const name = spelling.toLowerCase();
    // "The Authorization header is dropped if it contains a Signature Version 4 signature".
    if (name === 'authorization' && /^AWS4-/.test(value)) return false;
    return !DROPPED.has(name) && !REPLACED.has(name);
  });
  const cameFor = pairs
    .filter(([name]) => name.toLowerCase() === 'x-forwarded-for')
    .map(([, value]) => value);
  return grouped([
    ...kept,
    ['X-Amzn-Trace-Id', connection.traceId.split(';')[0]!],
    ['X-Forwarded-For', [...cameFor, connection.sourceIp].join(', ')],
    ['X-Forwarded-Port', String(connection.port)],
    ['X-Forwarded-Proto', 'http'],
  ]);
}

const decoded = (text: string): string => {
  // As form data, like AWS: `+` is a space (LocalStack's recording, invocation-payload-with-params-encoding).
  // URLSearchParams never throws; bytes that are no UTF-8 become U+FFFD.
  return new URLSearchParams(`x=${text.replaceAll('&', '%26')}`).get('x') ?? '';
};

/** "The semicolon character is not supported … and results in the data being split." (important notes, REST) */
export function queryOf(search: string): Map<string, string[]> {
  const pairs = search.split(/[&;]/).filter((part) => part !== '');
  return grouped(
    pairs.map((part): [string, string] => {
      const equals = part.indexOf('=');
      return equals === -1
        ? [decoded(part), '']
        : [decoded(part.slice(0, equals)), decoded(part.slice(equals + 1))];
    }),
  );
}

/**
 * Splits a request target. `undefined`: no target that API Gateway serves.
 *
 * The absolute form (`GET http://host/v1/orders`) must be understood by every server (RFC 9112, 3.2.2); its
 * host is not used for anything here.
 */
export function splitTarget(target: string): { path: string; search: string } | undefined {
  const rest = target.replace(/^https?:\/\/[^/?#]*/i, '');
  const at = rest.indexOf('?');
  const path = at === -1 ? rest : rest.slice(0, at);
  const search = at === -1 ? '' : rest.slice(at + 1);
  if (!path.startsWith('/') && !(path === '' && rest !== target)) return undefined;
  return { path: path || '/', search };
}

/**
 * Takes the stage off the path. Slashes before the stage, and those between it and the path, are one
 * (LocalStack's recordings: `//stage/x` and `/stage//x` both give the path `/x`).
 */
export function splitStage(path: string): { stage: string; path: string; fullPath: string } {
  const fullPath = path.replace(/^\/+/, '/');
  const [, stage = '', rest = ''] = /^\/([^/]*)(.*)$/.exec(fullPath) ?? [];
  return { stage, path: `/${rest.replace(/^\/+/, '')}`, fullPath };
}
