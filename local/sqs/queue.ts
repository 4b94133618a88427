import { randomBytes, randomUUID } from 'node:crypto';

/** https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_MessageAttributeValue.html */
export interface MessageAttribute {
  DataType: string;
  StringValue?: string;
  /** Base64. */
  BinaryValue?: string;
}

export interface Message {
  id: string;
  body: string;
  attributes: Record<string, MessageAttribute>;
  /** `MessageGroupId`: on a standard queue, whose message it is. */
  group: string;
  /** `AWSTraceHeader` */
  trace: string | undefined;
  senderId: string;
  /** The stack's clock, in ms. A dead letter keeps the time at which it was first sent. */
  sentAt: number;
  firstReceivedAt: number | undefined;
  receiveCount: number;
  /** When it can be received (again). */
  visibleAt: number;
  /** Of its last receive. It deletes the message until another receive, also when it is visible again. */
  receipt: string | undefined;
  isInFlight: boolean;
  /** ARN of the queue that it died in. */
  diedIn: string | undefined;
}

export interface QueueSettings {
  name: string;
  arn: string;
  url: string;
  delaySeconds: number;
  visibilityTimeout: number;
  retentionSeconds: number;
  maximumMessageSize: number;
  waitSeconds: number;
  redrive: { deadLetterTargetArn: string; maxReceiveCount: number } | undefined;
  /** Document of its `AWS::SQS::QueuePolicy`. */
  policy: unknown;
}

/** Told of each change, so that a restart knows the messages. */
export interface Journal {
  put(queue: string, message: Message): void;
  remove(queue: string, id: string): void;
}

/**
 * A standard queue: its messages in memory, on the stack's clock.
 *
 * Messages of groups come as from a fair queue: the group with the fewest messages in flight is next.
 * https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues.html
 */
export class Queue {
  readonly settings: QueueSettings;
  readonly #now: () => number;
  readonly #journal: Journal;
  readonly #messages = new Map<string, Message>();
  readonly #byReceipt = new Map<string, Message>();
  /** What can be received, oldest first, by group. */
  readonly #ready = new Map<string, Message[]>();
  readonly #inFlight = new Map<string, number>();
  /** What can be received later, the soonest last. An entry whose time is not its message's any more is void. */
  readonly #later: { at: number; message: Message }[] = [];
  readonly #waiting = new Set<() => void>();
  /** The queue that its dead letters go to. */
  deadLetters: Queue | undefined;

  constructor(settings: QueueSettings, now: () => number, journal: Journal) {
    this.settings = settings;
    this.#now = now;
    this.#journal = journal;
  }

  /** @param delaySeconds without it the queue's own */
  send(
    content: Pick<Message, 'body' | 'senderId'> & Partial<Pick<Message, 'attributes' | 'group' | 'trace'>>,
    delaySeconds = this.settings.delaySeconds,
  ): Message {
    const sentAt = this.#now();
    const message: Message = {
      id: randomUUID(),
      attributes: {},
      group: '',
      trace: undefined,
      ...content,
      sentAt,
      firstReceivedAt: undefined,
      receiveCount: 0,
      visibleAt: sentAt + delaySeconds * 1000,
      receipt: undefined,
      isInFlight: false,
      diedIn: undefined,
    };
    this.add(message);
    return message;
  }

  /** Puts a message that exists already: a dead letter, or one of an earlier start. */
  add(message: Message): void {
    this.#messages.set(message.id, message);
    if (message.isInFlight) this.#fly(message, message.receipt!);
    this.#journal.put(this.settings.name, message);
    this.#place(message);
  }

  /** Takes what can be received now, and hides it. What was received too often goes to the dead letters instead. */
  receive(most: number, visibilityTimeout = this.settings.visibilityTimeout): Message[] {
    this.#release();
    const now = this.#now();
    const taken: Message[] = [];
    while (taken.length < most) {
      const message = this.#next();
      if (message === undefined) break;
      const { redrive } = this.settings;
      if (redrive !== undefined && message.receiveCount >= redrive.maxReceiveCount && this.deadLetters) {
        const dead = { ...message, receipt: undefined, isInFlight: false };
        this.deadLetters.add({ ...dead, visibleAt: now, diedIn: this.settings.arn });
        this.#forget(message);
        continue;
      }
      message.receiveCount += 1;
      message.firstReceivedAt ??= now;
      message.visibleAt = now + visibilityTimeout * 1000;
      this.#fly(message, randomBytes(48).toString('base64'));
      this.#journal.put(this.settings.name, message);
      taken.push(message);
    }
    // After all are taken: with a time-out of 0 they can be received again, but not by this receive.
    for (const message of taken) this.#place(message);
    return taken;
  }

  /** As {@link receive}, but waits for the first message up to so many (real) seconds. */
  async receiveWithin(waitSeconds: number, ...[most, visibilityTimeout]: Parameters<Queue['receive']>) {
    const until = performance.now() + waitSeconds * 1000;
    for (;;) {
      const taken = this.receive(most, visibilityTimeout);
      const left = until - performance.now();
      if (taken.length > 0 || left <= 0) return taken;
      await this.arrival(left);
    }
  }

  /** Resolves when there may be something to receive, or after so many real milliseconds. */
  arrival(limitMs: number): Promise<void> {
    this.#release();
    if (this.#ready.size > 0) return Promise.resolve();
    const soonest = this.#later.at(-1)?.at ?? Number.POSITIVE_INFINITY;
    return new Promise((resolve) => {
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(done);
        resolve();
      };
      const timer = setTimeout(done, Math.max(0, Math.min(limitMs, soonest - this.#now())));
      this.#waiting.add(done);
    });
  }

  /** Wakes who waits: the clock has moved, or the stack ends. */
  wake(): void {
    for (const done of [...this.#waiting]) done();
  }

  /** An old receipt deletes nothing, without an error, as in AWS. */
  delete(receipt: string): void {
    const message = this.#byReceipt.get(receipt);
    if (message !== undefined) this.#forget(message);
  }

  /** @returns whether the message is in flight */
  changeVisibility(receipt: string, seconds: number): boolean {
    this.#release();
    const message = this.#byReceipt.get(receipt);
    if (!message?.isInFlight) return false;
    message.visibleAt = this.#now() + seconds * 1000;
    this.#journal.put(this.settings.name, message);
    this.#place(message);
    return true;
  }

  purge(): void {
    for (const message of [...this.#messages.values()]) this.#forget(message);
  }

  depth(): { visible: number; in_flight: number; delayed: number } {
    this.#release();
    const now = this.#now();
    const depth = { visible: 0, in_flight: 0, delayed: 0 };
    for (const { isInFlight, visibleAt } of this.#messages.values())
      depth[isInFlight ? 'in_flight' : visibleAt > now ? 'delayed' : 'visible'] += 1;
    return depth;
  }

  /** All messages, oldest first. */
  messages(): Message[] {
    this.#release();
    return [...this.#messages.values()];
  }

  #fly(message: Message, receipt: string): void {
    if (message.receipt !== undefined) this.#byReceipt.delete(message.receipt);
    message.receipt = receipt;
    message.isInFlight = true;
    this.#byReceipt.set(receipt, message);
    this.#inFlight.set(message.group, (this.#inFlight.get(message.group) ?? 0) + 1);
  }

  #land(message: Message): void {
    if (!message.isInFlight) return;
    message.isInFlight = false;
    const left = this.#inFlight.get(message.group)! - 1;
    if (left > 0) this.#inFlight.set(message.group, left);
    else this.#inFlight.delete(message.group);
  }

  #forget(message: Message): void {
    this.#land(message);
    this.#messages.delete(message.id);
    if (message.receipt !== undefined) this.#byReceipt.delete(message.receipt);
    this.#journal.remove(this.settings.name, message.id);
  }

  /** Makes it receivable now or at its time. */
  #place(message: Message): void {
    const at = message.visibleAt;
    let low = 0;
    for (let high = this.#later.length; low < high; ) {
      const middle = (low + high) >>> 1;
      if (this.#later[middle]!.at > at) low = middle + 1;
      else high = middle;
    }
    this.#later.splice(low, 0, { at, message });
    // A timer that waits for a later time would miss it.
    this.#release();
    this.wake();
  }

  /** Moves what is due to where it can be received, and drops what is older than the queue keeps. */
  #release(): void {
    const now = this.#now();
    for (let next = this.#later.at(-1); next !== undefined && next.at <= now; next = this.#later.at(-1)) {
      this.#later.pop();
      const { at, message } = next;
      if (this.#messages.get(message.id) !== message || message.visibleAt !== at) continue;
      this.#land(message);
      const group = this.#ready.get(message.group);
      if (group === undefined) this.#ready.set(message.group, [message]);
      else group.push(message);
    }
    const oldest = now - this.settings.retentionSeconds * 1000;
    // Sent times grow, but for dead letters, which are as old as they were: at worst they stay a little longer.
    for (const message of this.#messages.values()) {
      if (message.sentAt > oldest) break;
      this.#forget(message);
    }
  }

  #next(): Message | undefined {
    for (;;) {
      let chosen: string | undefined;
      let fewest = Number.POSITIVE_INFINITY;
      for (const group of this.#ready.keys()) {
        const flying = this.#inFlight.get(group) ?? 0;
        if (flying < fewest) [chosen, fewest] = [group, flying];
      }
      if (chosen === undefined) return undefined;
      const messages = this.#ready.get(chosen)!;
      const message = messages.shift();
      if (messages.length === 0) this.#ready.delete(chosen);
      // Purged or too old meanwhile.
      if (message !== undefined && this.#messages.get(message.id) === message) return message;
    }
  }
}
