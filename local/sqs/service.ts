import { hash } from 'node:crypto';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { AwsError } from '../aws-error.ts';
import {
  type AwsCall,
  type AwsService,
  authorize,
  type Json,
  type Principal,
  type ServicePrincipal,
  sessionArn,
} from '../aws-front.ts';
import type { Clock } from '../clock.ts';
import type { DeployedResource } from '../resource.ts';
import { openJournal } from './journal.ts';
import { type Message, type MessageAttribute, Queue } from './queue.ts';

export interface Sqs extends AwsService {
  /** Makes the queue of an `AWS::SQS::Queue`, with the messages of earlier starts. */
  add(resource: DeployedResource): void;
  /** Checks that the queues which others name are there. @throws Error */
  connect(): void;
  /** @throws AwsError `QueueDoesNotExist` */
  queue(arn: string): Queue;
  /**
   * Sends as a service of AWS (a rule's target, a failure destination), or for a function's role.
   *
   * @throws AwsError where AWS would refuse it
   */
  deliver(
    message: { queueArn: string; body: string; caller: Principal | ServicePrincipal } & SendOptions,
  ): Promise<void>;
  /** By name. */
  queues(): ReadonlyMap<string, Queue>;
  close(): void;
}

export interface SendOptions {
  attributes?: Record<string, MessageAttribute>;
  group?: string;
}

/** 1 MiB. https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html */
const LARGEST_MESSAGE = 1024 * 1024;
/** 12 hours. */
const LONGEST_VISIBILITY = 43_200;

/** The names that the JSON protocol has for errors, and those of the older query protocol, which a header repeats. */
const queryCodes: Record<string, string> = {
  QueueDoesNotExist: 'AWS.SimpleQueueService.NonExistentQueue',
  EmptyBatchRequest: 'AWS.SimpleQueueService.EmptyBatchRequest',
  TooManyEntriesInBatchRequest: 'AWS.SimpleQueueService.TooManyEntriesInBatchRequest',
  BatchEntryIdsNotDistinct: 'AWS.SimpleQueueService.BatchEntryIdsNotDistinct',
  BatchRequestTooLong: 'AWS.SimpleQueueService.BatchRequestTooLong',
  InvalidBatchEntryId: 'AWS.SimpleQueueService.InvalidBatchEntryId',
  MessageNotInflight: 'AWS.SimpleQueueService.MessageNotInflight',
};
const problem = (code: string, message: string): AwsError =>
  new AwsError(code, message, 400, {
    headers: { 'x-amzn-query-error': `${queryCodes[code] ?? code};Sender` },
  });
const invalid = (reason: string): AwsError =>
  problem('InvalidParameterValue', `One or more parameters are invalid. Reason: ${reason}`);

/** The queues of the templates, on the stack's clock, as SQS's API. Messages survive a restart. */
export function startSqs(o: {
  resources: readonly DeployedResource[];
  stateDir: string;
  fresh: boolean;
  clock: Clock;
  account: string;
}): Sqs {
  const path = join(o.stateDir, 'queues.jsonl');
  if (o.fresh) rmSync(path, { force: true });
  const journal = openJournal(path);
  const byName = new Map<string, Queue>();
  const now = (): number => o.clock.now();
  o.clock.onMove(() => {
    for (const queue of byName.values()) queue.wake();
  });

  function add({ stack, logicalId, properties, attributes }: DeployedResource): void {
    const number = (name: string, without: number): number => Number(properties[name] ?? without);
    const redrive = properties['RedrivePolicy'] as
      | { deadLetterTargetArn: string; maxReceiveCount: number }
      | undefined;
    const name = attributes['QueueName']!;
    const url = attributes['QueueUrl']!;
    const queue = new Queue(
      {
        name,
        arn: attributes['Arn']!,
        url,
        delaySeconds: number('DelaySeconds', 0),
        visibilityTimeout: number('VisibilityTimeout', 30),
        retentionSeconds: number('MessageRetentionPeriod', 345_600),
        maximumMessageSize: number('MaximumMessageSize', LARGEST_MESSAGE),
        waitSeconds: number('ReceiveMessageWaitTimeSeconds', 0),
        redrive: redrive && { ...redrive, maxReceiveCount: Number(redrive.maxReceiveCount) },
        // Read at each use: the policy comes after the queue that it names.
        get policy() {
          return policyOf(url);
        },
      },
      now,
      journal,
    );
    if (byName.has(name)) throw new Error(`${stack}/${logicalId}: another queue has the name ${name}`);
    for (const message of journal.earlier.get(name) ?? []) queue.add(message);
    byName.set(name, queue);
  }

  /** A queue has one policy: a second `AWS::SQS::QueuePolicy` would replace the first. */
  function policyOf(url: string): unknown {
    const [policy, ...others] = o.resources.filter(
      ({ type, properties }) =>
        type === 'AWS::SQS::QueuePolicy' && ((properties['Queues'] ?? []) as unknown[]).includes(url),
    );
    if (others.length > 0)
      throw new Error(`${url} has ${others.length + 1} queue policies; AWS keeps only the last one`);
    return policy?.properties['PolicyDocument'];
  }

  function connect(): void {
    for (const queue of byName.values()) {
      policyOf(queue.settings.url);
      const target = queue.settings.redrive?.deadLetterTargetArn;
      if (target !== undefined) queue.deadLetters = byArn(target);
    }
  }

  function byArn(arn: string): Queue {
    for (const queue of byName.values()) if (queue.settings.arn === arn) return queue;
    throw problem('QueueDoesNotExist', `The specified queue does not exist (${arn}).`);
  }

  /** SQS reads account and name in the URL's path, whatever its host. */
  function byUrl(url: unknown): Queue {
    const [, account, name] = /^(?:https?:\/\/[^/]+)?\/?(\d{12})\/([\w-]{1,80})$/.exec(String(url)) ?? [];
    const queue = account === o.account ? byName.get(name!) : undefined;
    if (queue === undefined) throw problem('QueueDoesNotExist', 'The specified queue does not exist.');
    return queue;
  }

  const questionFor = (action: string, { settings }: Queue) => ({
    action: `sqs:${action}`,
    resource: settings.arn,
    context: {},
    ...(settings.policy !== undefined && { resourcePolicy: settings.policy }),
  });

  const queueOf = ({ operation, input }: AwsCall): Queue => {
    if (operation !== 'GetQueueUrl') return byUrl(input['QueueUrl']);
    const queue = byName.get(String(input['QueueName']));
    if (queue === undefined) throw problem('QueueDoesNotExist', 'The specified queue does not exist.');
    return queue;
  };

  return {
    name: 'sqs',
    protocol: {
      kind: 'json',
      version: '1.0',
      targets: ['AmazonSQS'],
      errorType: (code) =>
        code === 'AccessDeniedException' ? `com.amazon.coral.service#${code}` : `com.amazonaws.sqs#${code}`,
    },
    questions(call) {
      const action = Object.hasOwn(actions, call.operation) ? actions[call.operation] : undefined;
      return action === undefined ? undefined : [questionFor(action, queueOf(call))];
    },
    async handle(call) {
      return operations[call.operation]!(queueOf(call), call.input, call.principal);
    },
    add,
    connect,
    queue: byArn,
    async deliver({ queueArn, body, caller, ...more }) {
      const queue = byArn(queueArn);
      await authorize(caller, [questionFor('SendMessage', queue)], { now, account: o.account });
      checkSize(queue, Buffer.byteLength(body));
      queue.send({ body, senderId: 'service' in caller ? caller.service : sessionArn(caller), ...more });
    },
    queues: () => byName,
    close() {
      for (const queue of byName.values()) queue.wake();
      journal.close();
    },
  };
}

/** A batch needs the permission of the single operation: https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonsqs.html */
const actions: Record<string, string> = {
  SendMessage: 'SendMessage',
  SendMessageBatch: 'SendMessage',
  ReceiveMessage: 'ReceiveMessage',
  DeleteMessage: 'DeleteMessage',
  DeleteMessageBatch: 'DeleteMessage',
  ChangeMessageVisibility: 'ChangeMessageVisibility',
  ChangeMessageVisibilityBatch: 'ChangeMessageVisibility',
  GetQueueAttributes: 'GetQueueAttributes',
  GetQueueUrl: 'GetQueueUrl',
  PurgeQueue: 'PurgeQueue',
};

type Operation = (queue: Queue, input: Json, principal: Principal) => Json | Promise<Json>;

const operations: Record<string, Operation> = {
  SendMessage: send,

  SendMessageBatch: (queue, input, principal) => {
    const entries = batchOf(input);
    const size = entries.reduce((sum, entry) => sum + sizeOf(entry), 0);
    if (size > LARGEST_MESSAGE) {
      throw problem(
        'BatchRequestTooLong',
        `Batch requests cannot be longer than ${LARGEST_MESSAGE} bytes. You have sent ${size} bytes.`,
      );
    }
    return eachOf(entries, (entry) => send(queue, entry, principal));
  },

  ReceiveMessage: async (queue, input) => {
    const wait = between(input, 'WaitTimeSeconds', 0, 20) ?? queue.settings.waitSeconds;
    const most = between(input, 'MaxNumberOfMessages', 1, 10) ?? 1;
    const visibility = between(input, 'VisibilityTimeout', 0, LONGEST_VISIBILITY);
    const messages = await queue.receiveWithin(wait, most, visibility);
    if (messages.length === 0) return {};
    const system = [...texts(input['MessageSystemAttributeNames']), ...texts(input['AttributeNames'])];
    const own = texts(input['MessageAttributeNames']);
    return {
      Messages: messages.map((message) => {
        const attributes = Object.fromEntries(
          Object.entries(message.attributes).filter(([name]) => own.some((wanted) => isWanted(wanted, name))),
        );
        const described = Object.entries(systemAttributes(message)).filter(
          ([name]) => system.includes('All') || system.includes(name),
        );
        return {
          MessageId: message.id,
          ReceiptHandle: message.receipt,
          MD5OfBody: hash('md5', message.body, 'hex'),
          Body: message.body,
          ...(described.length > 0 && { Attributes: Object.fromEntries(described) }),
          ...(Object.keys(attributes).length > 0 && {
            MessageAttributes: attributes,
            MD5OfMessageAttributes: md5OfAttributes(attributes),
          }),
        };
      }),
    };
  },

  DeleteMessage: (queue, input) => {
    queue.delete(receiptOf(input));
    return {};
  },

  DeleteMessageBatch: (queue, input) =>
    eachOf(batchOf(input), (entry) => {
      queue.delete(receiptOf(entry));
      return {};
    }),

  ChangeMessageVisibility: changeVisibility,

  ChangeMessageVisibilityBatch: (queue, input) =>
    eachOf(batchOf(input), (entry) => changeVisibility(queue, entry)),

  GetQueueUrl: ({ settings }) => ({ QueueUrl: settings.url }),

  GetQueueAttributes: (queue, input) => {
    const { settings } = queue;
    const { visible, in_flight, delayed } = queue.depth();
    const all: Record<string, unknown> = {
      QueueArn: settings.arn,
      ApproximateNumberOfMessages: visible,
      ApproximateNumberOfMessagesNotVisible: in_flight,
      ApproximateNumberOfMessagesDelayed: delayed,
      VisibilityTimeout: settings.visibilityTimeout,
      DelaySeconds: settings.delaySeconds,
      MessageRetentionPeriod: settings.retentionSeconds,
      MaximumMessageSize: settings.maximumMessageSize,
      ReceiveMessageWaitTimeSeconds: settings.waitSeconds,
      ...(settings.redrive && { RedrivePolicy: JSON.stringify(settings.redrive) }),
      ...(settings.policy !== undefined && { Policy: JSON.stringify(settings.policy) }),
    };
    const names = texts(input['AttributeNames']);
    const asked = Object.entries(all).filter(([name]) => names.includes('All') || names.includes(name));
    return { Attributes: Object.fromEntries(asked.map(([name, value]) => [name, String(value)])) };
  },

  PurgeQueue: (queue) => {
    queue.purge();
    return {};
  },
};

function send(queue: Queue, input: Json, principal: Principal): Json {
  const body = input['MessageBody'];
  if (typeof body !== 'string' || body === '')
    throw problem('MissingParameter', 'The request must contain the parameter MessageBody.');
  // #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what SQS refuses
  if (/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/.test(body) || !body.isWellFormed()) {
    throw problem(
      'InvalidMessageContents',
      'Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF.',
    );
  }
  checkSize(queue, sizeOf(input));
  const attributes = (input['MessageAttributes'] ?? {}) as Record<string, MessageAttribute>;
  if (Object.keys(attributes).length > 10)
    throw invalid('Number of message attributes exceeds the allowed maximum [10].');
  const group = input['MessageGroupId'] === undefined ? '' : String(input['MessageGroupId']);
  if (group.length > 128) throw invalid('MessageGroupId can only include 1 to 128 characters.');
  const trace = (input['MessageSystemAttributes'] as Record<string, MessageAttribute> | undefined)?.[
    'AWSTraceHeader'
  ]?.StringValue;
  const message = queue.send(
    { body, attributes, group, trace, senderId: sessionArn(principal) },
    between(input, 'DelaySeconds', 0, 900),
  );
  return {
    MessageId: message.id,
    MD5OfMessageBody: hash('md5', body, 'hex'),
    ...(Object.keys(attributes).length > 0 && { MD5OfMessageAttributes: md5OfAttributes(attributes) }),
  };
}

function changeVisibility(queue: Queue, input: Json): Json {
  const seconds = between(input, 'VisibilityTimeout', 0, LONGEST_VISIBILITY);
  if (seconds === undefined)
    throw problem('MissingParameter', 'The request must contain the parameter VisibilityTimeout.');
  const receipt = receiptOf(input);
  if (!queue.changeVisibility(receipt, seconds)) {
    throw problem(
      'MessageNotInflight',
      `Value ${receipt.slice(0, 20)}… for parameter ReceiptHandle is invalid. Reason: Message does not exist or is not available for visibility timeout change.`,
    );
  }
  return {};
}

function receiptOf(input: Json): string {
  const receipt = input['ReceiptHandle'];
  if (typeof receipt !== 'string' || receipt === '')
    throw problem('MissingParameter', 'The request must contain the parameter ReceiptHandle.');
  if (!/^[A-Za-z0-9+/]{64}$/.test(receipt))
    throw problem('ReceiptHandleIsInvalid', 'The input receipt handle is invalid.');
  return receipt;
}

function batchOf(input: Json): Json[] {
  const entries = (Array.isArray(input['Entries']) ? input['Entries'] : []) as Json[];
  if (entries.length === 0)
    throw problem('EmptyBatchRequest', 'There should be at least one entry in the request.');
  if (entries.length > 10) {
    throw problem(
      'TooManyEntriesInBatchRequest',
      `Maximum number of entries per request are 10. You have sent ${entries.length}.`,
    );
  }
  const ids = entries.map((entry) => String(entry['Id']));
  if (!ids.every((id) => /^[\w-]{1,80}$/.test(id)))
    throw problem(
      'InvalidBatchEntryId',
      'A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long.',
    );
  if (new Set(ids).size < ids.length)
    throw problem('BatchEntryIdsNotDistinct', 'Two or more batch entries in the request have the same Id.');
  return entries;
}

/** What fails alone fails alone: the answer is a 200 that tells both. */
function eachOf(entries: Json[], act: (entry: Json) => Json): Json {
  const Successful: Json[] = [];
  const Failed: Json[] = [];
  for (const entry of entries) {
    try {
      Successful.push({ Id: entry['Id'], ...act(entry) });
    } catch (error) {
      if (!(error instanceof AwsError)) throw error;
      Failed.push({ Id: entry['Id'], Code: error.code, Message: error.message, SenderFault: true });
    }
  }
  return { Successful, ...(Failed.length > 0 && { Failed }) };
}

/** A message's attributes count: names, types and values. */
function sizeOf(entry: Json): number {
  let size = Buffer.byteLength(String(entry['MessageBody'] ?? ''));
  for (const [name, { DataType = '', StringValue = '', BinaryValue = '' }] of Object.entries(
    (entry['MessageAttributes'] ?? {}) as Record<string, Partial<MessageAttribute>>,
  )) {
    size += Buffer.byteLength(name + DataType + StringValue) + Buffer.byteLength(BinaryValue, 'base64');
  }
  return size;
}

function checkSize({ settings }: Queue, size: number): void {
  if (size > settings.maximumMessageSize)
    throw invalid(`Message must be shorter than ${settings.maximumMessageSize} bytes.`);
}

function between(input: Json, name: string, least: number, most: number): number | undefined {
  const value = input[name];
  if (value === undefined || value === null) return undefined;
  if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
    throw problem(
      'InvalidParameterValue',
      `Value ${String(value)} for parameter ${name} is invalid. Reason: Must be >= ${least} and <= ${most}, if provided.`,
    );
  }
  return value as number;
}

const texts = (value: unknown): string[] => (Array.isArray(value) ? value.map(String) : []);

/** `All`, `.*`, a name, or a prefix with `.*`. */
const isWanted = (wanted: string, name: string): boolean =>
  wanted === 'All' ||
  wanted === '.*' ||
  wanted === name ||
  (wanted.endsWith('.*') && name.startsWith(wanted.slice(0, -2)));

/** What a message says of itself. */
export function systemAttributes(message: Message): Record<string, string> {
  return {
    SenderId: message.senderId,
    SentTimestamp: String(message.sentAt),
    ApproximateReceiveCount: String(message.receiveCount),
    ApproximateFirstReceiveTimestamp: String(message.firstReceivedAt ?? ''),
    ...(message.group !== '' && { MessageGroupId: message.group }),
    ...(message.trace !== undefined && { AWSTraceHeader: message.trace }),
    ...(message.diedIn !== undefined && { DeadLetterQueueSourceArn: message.diedIn }),
  };
}

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-message-metadata.html#sqs-attributes-md5-message-digest-calculation */
export function md5OfAttributes(attributes: Record<string, MessageAttribute>): string {
  const sized = (value: string | Buffer): Buffer => {
    const bytes = Buffer.from(value as string);
    const size = Buffer.alloc(4);
    size.writeUInt32BE(bytes.byteLength);
    return Buffer.concat([size, bytes]);
  };
  const parts: Buffer[] = [];
  for (const name of Object.keys(attributes).sort()) {
    const { DataType, StringValue, BinaryValue } = attributes[name]!;
    const isBinary = DataType.startsWith('Binary');
    parts.push(
      sized(name),
      sized(DataType),
      Buffer.from([isBinary ? 2 : 1]),
      sized(isBinary ? Buffer.from(BinaryValue ?? '', 'base64') : (StringValue ?? '')),
    );
  }
  return hash('md5', Buffer.concat(parts), 'hex');
}
