import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { type Identity, stackId } from './intrinsics.ts';
import { readState, writePrivate } from './state-file.ts';

/** What CloudFormation sends and takes: https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref.html */
interface Answer {
  Status?: string;
  Reason?: string;
  PhysicalResourceId?: string;
  StackId?: string;
  RequestId?: string;
  LogicalResourceId?: string;
  Data?: Record<string, unknown>;
}

/** Bytes that CloudFormation takes for an answer. */
const LARGEST_ANSWER = 4096;

/** CloudFormation waits an hour by default. On a laptop someone is watching. */
const TIME_LIMIT_MS = 60_000;

interface Kept {
  stack: string;
  account?: string;
  logicalId: string;
  type: string;
  properties: Record<string, unknown>;
  physicalId: string;
  attributes: Record<string, string>;
  /** Its `DeletionPolicy`. */
  isRetained: boolean;
}

export interface CustomResource {
  stack: string;
  /** Of another account than the laptop's own. */
  account?: string;
  logicalId: string;
  type: string;
  properties: Record<string, unknown>;
  deletionPolicy?: string;
  updateReplacePolicy?: string;
}

export class CustomResourceFailed extends Error {
  override name = 'CustomResourceFailed';
}

export interface CustomResources {
  /**
   * Creates the resource, or updates it if its properties are not those of the last start; otherwise nothing runs.
   *
   * @throws CustomResourceFailed with the reason that its function gave
   */
  apply(resource: CustomResource): Promise<Identity>;
  /** Deletes what was replaced, and what the templates no longer have. A failure is told and stops nothing, as in AWS. */
  cleanUp(): Promise<void>;
  /** Forgets all, because the data that they wrote is gone. */
  forget(): void;
  close(): Promise<void>;
}

/** CloudFormation makes text of every number and boolean in a custom resource's properties. */
function asText(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(asText);
  if (typeof value === 'object' && value !== null) {
    return Object.fromEntries(Object.entries(value).map(([key, child]) => [key, asText(child)]));
  }
  return typeof value === 'string' ? value : String(value);
}

/** Runs custom resources by their functions, as CloudFormation does, and remembers them in the state directory. */
export async function startCustomResources(options: {
  stateDir: string;
  account: string;
  region: string;
  invoke(functionArn: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
  /** Whether whoever deploys in that account may invoke the function. */
  mayInvoke?(functionArn: string, account: string): boolean;
  log(line: string): void;
  timeLimitMs?: number;
}): Promise<CustomResources> {
  const { account, region, invoke, log, mayInvoke = () => true, timeLimitMs = TIME_LIMIT_MS } = options;
  const file = join(options.stateDir, 'custom-resources.json');
  let kept = new Map<string, Kept>(Object.entries(readState<Record<string, Kept>>(file) ?? {}));
  const applied = new Set<string>();
  const replaced: Kept[] = [];
  const save = (): void => writePrivate(file, Object.fromEntries(kept));

  /** Who waits for an answer, by the secret path of its ResponseURL. */
  const waiting = new Map<string, (answer: Answer | Error) => void>();
  const server = createServer((request, response) => {
    const settle = waiting.get(request.url ?? '');
    if (request.method !== 'PUT' || settle === undefined) {
      response.writeHead(403).end();
      return;
    }
    const chunks: Buffer[] = [];
    let bytes = 0;
    request.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      if (bytes <= LARGEST_ANSWER) chunks.push(chunk);
    });
    request.on('end', () => {
      response.writeHead(200).end();
      if (bytes > LARGEST_ANSWER) {
        settle(new Error(`its answer has ${bytes} bytes; CloudFormation takes ${LARGEST_ANSWER}`));
        return;
      }
      try {
        settle(JSON.parse(Buffer.concat(chunks).toString('utf8')) as Answer);
      } catch {
        settle(new Error('its answer is not JSON'));
      }
    });
  });
  await new Promise<void>((listening, failed) => {
    server.once('error', failed);
    server.listen(0, '127.0.0.1', listening);
  });
  server.unref();
  const origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;

  /** Sends one request to the resource's function and waits for its PUT. */
  async function ask(
    request: 'Create' | 'Update' | 'Delete',
    { stack, account: other, logicalId, type, properties }: CustomResource | Kept,
    previous?: Kept,
  ): Promise<{ physicalId: string; attributes: Record<string, string> }> {
    const place = `${stack}/${logicalId} (${type})`;
    const fail = (why: string): never => {
      throw new CustomResourceFailed(`${place}: ${request} failed: ${why}`);
    };
    const serviceToken = properties['ServiceToken'];
    if (typeof serviceToken !== 'string') return fail('ServiceToken is missing');
    const own = other ?? account;
    if (!mayInvoke(serviceToken, own))
      return fail(`${serviceToken} has no permission for the account ${own} to invoke it`);
    const path = `/${randomBytes(24).toString('base64url')}`;
    const requestId = randomUUID();
    const event = {
      RequestType: request,
      ServiceToken: serviceToken,
      ResponseURL: `${origin}${path}`,
      StackId: stackId(stack, { account: own, region }),
      RequestId: requestId,
      LogicalResourceId: logicalId,
      ResourceType: type,
      ...(previous && { PhysicalResourceId: previous.physicalId }),
      ResourceProperties: asText(properties),
      ...(request === 'Update' && { OldResourceProperties: asText(previous!.properties) }),
    };
    const limit = Math.min(
      timeLimitMs,
      Number(properties['ServiceTimeout'] ?? Number.POSITIVE_INFINITY) * 1000,
    );
    const { promise, resolve } = Promise.withResolvers<Answer | Error>();
    const timer = setTimeout(() => resolve(new Error(`no answer within ${limit / 1000} s`)), limit);
    waiting.set(path, resolve);
    invoke(serviceToken, event).then(
      ({ payload, functionError }) => {
        if (functionError !== undefined)
          resolve(new Error(`its function failed: ${JSON.stringify(payload)}`));
      },
      (error: Error) => resolve(error),
    );
    const answer = await promise;
    clearTimeout(timer);
    waiting.delete(path);

    if (answer instanceof Error) return fail(answer.message);
    const expected = { StackId: event.StackId, RequestId: requestId, LogicalResourceId: logicalId };
    for (const [name, value] of Object.entries(expected)) {
      if (answer[name as keyof typeof expected] !== value) return fail(`its answer has another ${name}`);
    }
    if (answer.Status === 'FAILED') return fail(answer.Reason ?? 'it gave no reason');
    if (answer.Status !== 'SUCCESS')
      return fail(`its answer has the Status ${JSON.stringify(answer.Status)}`);
    const physicalId = answer.PhysicalResourceId ?? previous?.physicalId;
    if (typeof physicalId !== 'string' || physicalId === '')
      return fail('its answer has no PhysicalResourceId');
    const attributes: Record<string, string> = {};
    for (const [name, value] of Object.entries(answer.Data ?? {})) {
      attributes[name] = typeof value === 'string' ? value : JSON.stringify(value);
    }
    return { physicalId, attributes };
  }

  async function apply(resource: CustomResource): Promise<Identity> {
    const { stack, account: other, logicalId, type, properties } = resource;
    const key = `${stack}/${logicalId}`;
    applied.add(key);
    const previous = kept.get(key);
    const isSame =
      previous?.type === type && JSON.stringify(previous.properties) === JSON.stringify(properties);
    if (previous !== undefined && isSame)
      return { ref: previous.physicalId, attributes: previous.attributes };
    if (previous !== undefined && previous.type !== type) {
      throw new CustomResourceFailed(
        `${key}: its type was ${previous.type}; CloudFormation can't change the type of a resource`,
      );
    }

    const started = performance.now();
    const request = previous === undefined ? 'Create' : 'Update';
    const { physicalId, attributes } = await ask(request, resource, previous);
    if (
      previous !== undefined &&
      previous.physicalId !== physicalId &&
      resource.updateReplacePolicy !== 'Retain'
    ) {
      replaced.push(previous);
    }
    const isRetained = resource.deletionPolicy === 'Retain';
    kept.set(key, {
      ...{ stack, logicalId, type, properties, physicalId, attributes, isRetained },
      ...(other !== undefined && { account: other }),
    });
    save();
    log(`${request} of ${key} (${type}): ${Math.round(performance.now() - started)} ms`);
    return { ref: physicalId, attributes };
  }

  async function remove(resource: Kept): Promise<void> {
    try {
      await ask('Delete', resource, resource);
      log(`Delete of ${resource.stack}/${resource.logicalId} (${resource.type})`);
    } catch (error) {
      log((error as Error).message);
    }
  }

  return {
    apply,
    async cleanUp() {
      for (const resource of replaced.splice(0)) await remove(resource);
      for (const [key, resource] of kept) {
        if (applied.has(key)) continue;
        if (!resource.isRetained) await remove(resource);
        kept.delete(key);
      }
      save();
    },
    forget() {
      kept = new Map();
      save();
    },
    async close() {
      server.closeAllConnections();
      await new Promise((closed) => server.close(closed));
    },
  };
}
