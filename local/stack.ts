import { appendFileSync, mkdirSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { join, resolve } from 'node:path';
import { apiGatewayService, describeRestApis, type ServedApi, serveRestApi } from './api-gateway/index.ts';
import { describeApis, serveApi } from './api-gateway-v2/index.ts';
import { type AssemblyStack, readAssemblies, shieldAssets } from './assembly.ts';
import { type AwsService, startAwsFront } from './aws-front.ts';
import { openClock } from './clock.ts';
import { serveControl } from './control.ts';
import { startCustomResources } from './custom-resources.ts';
import { checkDeployment, deploy } from './deployment.ts';
import { describeTable } from './dynamodb/engine-client.ts';
import { createTables, openStreams, startEngine, sweepTtl } from './dynamodb/index.ts';
import { dynamoDbService } from './dynamodb/service.ts';
import { startEventSources } from './event-sources/index.ts';
import { startEventBridge } from './eventbridge/index.ts';
import { openFaults } from './faults.ts';
import { evaluatePolicies } from './iam.ts';
import { openAsyncInvocations } from './lambda/async.ts';
import { forgetLogs, startLambda } from './lambda/service.ts';
import type { DeployedResource, WithoutEffect } from './resource.ts';
import { startSecretsManager } from './secrets-manager/index.ts';
import { startSqs } from './sqs/index.ts';
import { lockStateDir, readState, writePrivate } from './state-file.ts';
import { startSts } from './sts.ts';
import { allSupported, isCustomResource } from './supported.ts';

export const ACCOUNT = '000000000000';
export const REGION = 'us-east-1';

/** TTL deletions follow the clock when it is moved, and otherwise as often as this. */
const SWEEP_EVERY_MS = 60_000;

/** What `stack.json` in the state directory holds (mode 600: it has the administrator's key). */
export interface StackFile {
  pid: number;
  /** URLs with the stage, by the name in the templates' outputs: `ManagementApiUrl` is `management`. */
  apis: Record<string, string>;
  /** Their ids in API Gateway, by the same names. */
  api_ids: Record<string, string>;
  admin_key: string;
  control: string;
  /** The engine itself, past IAM; for tests. */
  dynamodb: string;
  table: string;
  /** Function names, by `<Stack>/<LogicalId>`. */
  functions: Record<string, string>;
}

export interface RunningStack extends StackFile {
  stateDir: string;
  /** By stack. */
  outputs: Record<string, Record<string, string>>;
  withoutEffect: WithoutEffect[];
  /** Ends every process that the stack started and closes every port. */
  stop(): Promise<void>;
}

export class PortTaken extends Error {
  override name = 'PortTaken';
}

/**
 * Runs a cloud assembly on this machine.
 *
 * @param options.port of the first API; the others follow, then the control port. 0: any free ones
 * @param options.stateDir where data, logs and `stack.json` are; one running stack at a time
 * @param options.fresh forgets the data of earlier starts first
 * @param options.assemblyDir what `cdk synth` wrote, or what writes it and says where: called when the state directory
 *   is ours, so that no running stack loses its assets
 * @param options.withAssemblies others whose stacks run beside those, after them
 * @throws PortTaken, StateDirInUse, UnknownInTemplate, AssemblyError, CustomResourceFailed and others with a message
 *   for the person who started it; everything that was started has ended then
 */
export async function startStack(options: {
  port: number;
  stateDir: string;
  fresh: boolean;
  assemblyDir: string | (() => Promise<string>);
  withAssemblies?: string[];
  log(line: string): void;
}): Promise<RunningStack> {
  const { port, fresh, log } = options;
  const stateDir = resolve(options.stateDir);
  const world = { account: ACCOUNT, region: REGION };
  const step = async <Result>(name: string, work: () => Result | Promise<Result>): Promise<Result> => {
    const started = performance.now();
    const result = await work();
    log(`${name.padEnd(40)} ${((performance.now() - started) / 1000).toFixed(2).padStart(6)} s`);
    return result;
  };

  await using running = new AsyncDisposableStack();
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const unlock = lockStateDir(stateDir);
  process.once('exit', unlock);
  running.defer(() => {
    process.off('exit', unlock);
    unlock();
  });

  if (port > 0) await checkPort(port);
  const { assemblyDir } = options;
  if (typeof assemblyDir !== 'string') log('cdk synth takes about 20 s where a source has changed');
  const directory = typeof assemblyDir === 'string' ? assemblyDir : await step('cdk synth', assemblyDir);
  const { stacks, checked } = await step('templates read and checked', () => {
    const others = options.withAssemblies ?? [];
    const found = readAssemblies([directory, ...others], world);
    others.forEach(shieldAssets);
    return {
      stacks: found,
      checked: checkDeployment(found, { ...world, aws: 'http://127.0.0.1' }, allSupported),
    };
  });
  const apiCount = checked.resources.filter(({ type }) => isApi(type)).length;
  for (let each = port + 1; port > 0 && each <= port + apiCount; each += 1) await checkPort(each);

  if (fresh) {
    log('--fresh: data, logs, clock and admin key of earlier starts are deleted');
    forgetLogs(stateDir);
    for (const file of ['custom-resources.json', 'stack.json', 'stream-positions.json'])
      rmSync(join(stateDir, file), { force: true });
  }
  const clock = openClock({ stateDir, fresh });
  const logFile = (name: string) => (line: unknown) =>
    appendFileSync(
      join(stateDir, 'logs', name),
      `${typeof line === 'string' ? line : JSON.stringify(line)}\n`,
      { mode: 0o600 },
    );
  mkdirSync(join(stateDir, 'logs'), { recursive: true, mode: 0o700 });

  const engine = await step('DynamoDB engine', () =>
    startEngine({ stateDir, fresh, log: logFile('dynamodb-engine.log') }),
  );
  running.defer(() => engine.close());
  const dataIsNew = await step('tables', () => makeTables(engine.endpoint, checked.resources, fresh));
  const resources: DeployedResource[] = [];
  // Each service of AWS that functions can reach plugs in here.
  const sqs = startSqs({ resources, stateDir, fresh, clock, ...world });
  running.defer(() => sqs.close());
  const eventBridge = startEventBridge({
    ...{ resources, stateDir, fresh, clock, sqs, ...world },
    mayInvoke: (functionArn, ruleArn) => lambda.mayInvoke(functionArn, ruleArn),
    invoke: (functionArn, payload) => asynchronous.accept(functionArn, payload),
    log: logFile('eventbridge.log'),
  });
  running.defer(() => eventBridge.stop());
  const secretsManager = startSecretsManager({
    ...{ resources, stateDir, fresh, clock, ...world },
    mayInvoke: (functionArn, secretArn) => lambda.mayInvoke(functionArn, secretArn),
    invoke: (functionArn, payload) => lambda.invoke(functionArn, payload),
    log: logFile('secrets-manager.log'),
  });
  running.defer(() => secretsManager.stop());
  const streams = openStreams({ engine: engine.endpoint, clock, ...world });
  const sts = startSts({ resources, now: () => clock.now() });
  const servedApis: ServedApi[] = [];
  /** Of the APIs that are served, by their ids. */
  const origins = new Map<string, string>();
  const awsServices: AwsService[] = [
    dynamoDbService({ engine: engine.endpoint, ...world, onWrite: streams.wake }),
    sqs,
    eventBridge,
    secretsManager,
    sts,
    apiGatewayService({ apis: servedApis, ...world }),
  ];
  const faults = openFaults(() => clock.now());
  const front = await startAwsFront({
    services: awsServices,
    intercept: faults.intercept,
    principals: (accessKeyId) => lambda.principal(accessKeyId) ?? sts.principal(accessKeyId),
    now: () => clock.now(),
    ...world,
    log: (line) =>
      logFile(line['service'] === 'dynamodb' ? 'dynamodb-requests.log' : 'aws-requests.log')(line),
  });
  running.defer(() => front.close());

  const lambda = startLambda({
    resources,
    stateDir,
    clock,
    ...world,
    endpoints: endpointVariables(front.endpoint),
    here: (value) => value.replace(API_ORIGIN, (origin, id: string) => origins.get(id) ?? origin),
  });
  running.defer(() => lambda.close());
  const invoke = (functionArn: string, payload: unknown) => lambda.invoke(functionArn, payload);
  const customResources = await startCustomResources({
    ...{ stateDir, ...world, invoke, log },
    mayInvoke: lambda.mayBeInvokedFrom,
  });
  running.defer(() => customResources.close());
  if (dataIsNew) customResources.forget();

  const services = {
    invoke,
    mayInvoke: lambda.mayInvoke,
    evaluate: evaluatePolicies,
    now: () => clock.now(),
    ...world,
    accessLog: logFile('api-access.log'),
  };
  // Once before anything has an effect: what API Gateway's part does not know stops the start here.
  describeRestApis({ resources: checked.resources, ...services });
  describeApis({ resources: checked.resources, ...services });

  const outputs = await step('functions, roles and custom resources', () =>
    deploy(stacks, { ...world, aws: front.endpoint }, resources, async (resource, definition) => {
      if (resource.type === 'AWS::SQS::Queue') sqs.add(resource);
      if (resource.type === 'AWS::SecretsManager::Secret') secretsManager.add(resource);
      if (resource.type === 'AWS::SecretsManager::RotationSchedule') secretsManager.addRotation(resource);
      if (resource.type === 'AWS::Lambda::Function') lambda.add(resource, assetsOf(stacks, resource.stack));
      if (!isCustomResource(resource.type)) return undefined;
      return customResources.apply({
        ...resource,
        deletionPolicy: definition.DeletionPolicy,
        updateReplacePolicy: definition.UpdateReplacePolicy,
      });
    }),
  );

  const apiIds: Record<string, string> = {};
  const apis = await step('APIs', async () => {
    const starts = [
      ...describeRestApis({ resources, ...services }).map((model) => (at: number) => serveRestApi(model, at)),
      ...describeApis({ resources, ...services }).map((model) => (at: number) => serveApi(model, at)),
    ];
    const served: Record<string, string> = {};
    for (const [index, start] of starts.entries()) {
      const api = await start(port === 0 ? 0 : port + index).catch(portProblem(port + index));
      running.defer(() => api.close());
      servedApis.push(api);
      origins.set(api.apiId, api.url.replace(/(?<=:\d+)\/.*$/, ''));
      const name = apiName(api, outputs);
      served[name] = api.url;
      apiIds[name] = api.apiId;
    }
    return served;
  });
  await customResources.cleanUp();

  sqs.connect();
  const asynchronous = openAsyncInvocations({
    resources,
    stateDir,
    fresh,
    clock,
    sqs,
    ...lambda,
    log: logFile('lambda.log'),
  });
  running.defer(() => asynchronous.stop());
  asynchronous.start();
  eventBridge.start();
  secretsManager.start();
  const eventSources = await step('event sources', () =>
    startEventSources({
      resources,
      lambda,
      sqs,
      streams,
      clock,
      stateDir,
      ...world,
      log: logFile('lambda.log'),
    }),
  );
  running.defer(() => eventSources.stop());

  const tables = checked.resources.filter(({ type }) => type.startsWith('AWS::DynamoDB::'));
  const sweep = async (): Promise<void> => {
    await sweepTtl({
      endpoint: engine.endpoint,
      resources: tables,
      now: clock.now(),
      onExpiring: streams.expiring,
    });
    streams.wake();
  };
  const controlPort = port === 0 ? 0 : port + apiCount;
  const control = await serveControl({
    port: controlPort,
    clock,
    lambda,
    asynchronous,
    sqs,
    eventBridge,
    faults,
    resources,
    afterMove: sweep,
  }).catch(portProblem(controlPort));
  running.defer(() => control.close());
  const sweeper = setInterval(() => {
    sweep().catch((error: Error) => logFile('dynamodb-engine.log')(`TTL sweep: ${error.message}`));
  }, SWEEP_EVERY_MS);
  running.defer(() => clearInterval(sweeper));

  const output = (name: string): string | undefined =>
    Object.values(outputs).find((each) => each[name])?.[name];
  const adminKey = await step('admin key', async () =>
    administratorKey({
      kept: readState<StackFile>(join(stateDir, 'stack.json'))?.admin_key,
      managementUrl: apis['management'],
      functionName: output('CreateAdminKeyFunctionName'),
      invoke,
    }),
  );

  const file: StackFile = {
    pid: process.pid,
    apis,
    api_ids: apiIds,
    admin_key: adminKey,
    control: control.url,
    dynamodb: engine.endpoint,
    table: output('TableName') ?? tables[0]?.ref ?? '',
    functions: Object.fromEntries(
      resources
        .filter(({ type }) => type === 'AWS::Lambda::Function')
        .map(({ stack, logicalId, ref }) => [`${stack}/${logicalId}`, ref]),
    ),
  };
  writePrivate(join(stateDir, 'stack.json'), file);

  const all = running.move();
  let stopping: Promise<void> | undefined;
  return {
    ...file,
    stateDir,
    outputs,
    withoutEffect: checked.withoutEffect,
    stop() {
      stopping ??= all.disposeAsync();
      return stopping;
    },
  };
}

/**
 * Where functions find AWS. `AWS_ENDPOINT_URL` is for every service: one that the front does not have is refused there,
 * and never asked on the network.
 */
const endpointVariables = (endpoint: string): Record<string, string> => ({
  AWS_ENDPOINT_URL: endpoint,
  ...Object.fromEntries(
    ['API_GATEWAY', 'APIGATEWAYV2', 'DYNAMODB', 'EVENTBRIDGE', 'SECRETS_MANAGER', 'SQS', 'STS'].map(
      (name) => [`AWS_ENDPOINT_URL_${name}`, endpoint],
    ),
  ),
});

/** Where AWS would serve an API. */
const API_ORIGIN = /(?:https|wss):\/\/([a-z0-9]+)\.execute-api\.[a-z0-9-]+\.amazonaws\.com(?:\.cn)?/g;

const isApi = (type: string): boolean =>
  type === 'AWS::ApiGateway::RestApi' || type === 'AWS::ApiGatewayV2::Api';

const assetsOf = (stacks: AssemblyStack[], name: string) =>
  stacks.find((stack) => stack.name === name)!.assets;

/** @returns whether a table had to be made: then what custom resources wrote to it is gone */
async function makeTables(endpoint: string, resources: DeployedResource[], fresh: boolean): Promise<boolean> {
  const names = resources
    .filter(({ type }) => /^AWS::DynamoDB::(Global)?Table$/.test(type))
    .map(({ ref }) => ref);
  const found = await Promise.all(names.map((name) => describeTable(endpoint, name)));
  await createTables({ endpoint, resources, fresh });
  return fresh || found.includes(undefined);
}

/** `ManagementApiUrl` in the outputs names its API `management`; an API that no output names goes by its own name. */
function apiName(
  { apiId, name }: { apiId: string; name: string },
  outputs: Record<string, Record<string, string>>,
): string {
  for (const [output, value] of Object.values(outputs).flatMap(Object.entries<string>)) {
    const short = /^(\w+)ApiUrl$/.exec(output)?.[1];
    if (short !== undefined && value.includes(`//${apiId}.execute-api.`))
      return short[0]!.toLowerCase() + short.slice(1);
  }
  return name;
}

/** The key of the last start if it still works, else a new one from the function that the outputs name. */
async function administratorKey(options: {
  kept: string | undefined;
  managementUrl: string | undefined;
  functionName: string | undefined;
  invoke(name: string, payload: unknown): Promise<{ payload: unknown; functionError?: string }>;
}): Promise<string> {
  const { kept, managementUrl, functionName, invoke } = options;
  if (functionName === undefined) return '';
  if (kept && managementUrl) {
    const { status } = await fetch(`${managementUrl}/api-keys?limit=1`, { headers: { 'x-api-key': kept } });
    if (status === 200) return kept;
  }
  const { payload, functionError } = await invoke(functionName, {});
  const key = (payload as { key?: unknown } | null)?.key;
  if (functionError !== undefined || typeof key !== 'string') {
    const { errorType, errorMessage } = (payload ?? {}) as Record<string, unknown>;
    throw new Error(`${functionName} made no key: ${errorType ?? ''} ${errorMessage ?? ''} (see its log)`);
  }
  return key;
}

const portProblem =
  (port: number) =>
  (error: NodeJS.ErrnoException): never => {
    if (error.code === 'EADDRINUSE')
      throw new PortTaken(`Port ${port} is taken. Start with another one: npm start -- --port N`);
    if (error.code === 'EACCES')
      throw new PortTaken(
        `Port ${port} is not allowed to this user. Start with another one: npm start -- --port N`,
      );
    throw error;
  };

/** Finds out before the slow steps whether a port is free. @throws PortTaken */
async function checkPort(port: number): Promise<void> {
  const server = createServer();
  await new Promise<void>((free, taken) => {
    server.once('error', taken);
    server.listen(port, '127.0.0.1', () => server.close(() => free()));
  }).catch(portProblem(port));
}
