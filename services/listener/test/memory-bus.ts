/** A bus within one process: subjects with `*` and `>`, delivered at once, several instances on one hub. */
import type { Bus, MessageHandler, Subscription } from "@myelin/bus";
import { AppError } from "@myelin/kernel";

interface Listening {
  readonly pattern: string;
  readonly handler: MessageHandler;
}

/** What NATS is to the real ones. */
export class MemoryHub {
  readonly subscriptions = new Set<Listening>();
  readonly published: { subject: string; data: Uint8Array }[] = [];

  publish(subject: string, data: Uint8Array, reply?: string): number {
    this.published.push({ subject, data });
    let count = 0;
    for (const { pattern, handler } of [...this.subscriptions]) {
      if (!matches(pattern, subject)) continue;
      count += 1;
      handler(data, subject, reply);
    }
    return count;
  }
}

export class MemoryBus implements Bus {
  readonly name = "bus";
  connected = true;
  readonly maxPayloadBytes = 8 * 1024 * 1024;
  private readonly connectionListeners = new Set<(connected: boolean) => void>();
  private inboxes = 0;

  constructor(
    readonly hub: MemoryHub,
    readonly instance: string,
    readonly incarnation = 1,
  ) {}

  async start(): Promise<void> {}
  async stop(): Promise<void> {}
  async flush(): Promise<void> {}
  async rttMs(): Promise<number> {
    return 0;
  }

  newInbox(): string {
    return `_INBOX.${this.instance}.${++this.inboxes}`;
  }

  onConnectionChange(listener: (connected: boolean) => void): () => void {
    this.connectionListeners.add(listener);
    return () => this.connectionListeners.delete(listener);
  }

  setConnected(connected: boolean): void {
    this.connected = connected;
    for (const listener of this.connectionListeners) listener(connected);
  }

  publish(subject: string, data: Uint8Array, reply?: string): boolean {
    if (!this.connected) return false;
    this.hub.publish(subject, data, reply);
    return true;
  }

  subscribe(pattern: string, handler: MessageHandler): Subscription {
    const subscription = { pattern, handler };
    this.hub.subscriptions.add(subscription);
    const end = (): void => void this.hub.subscriptions.delete(subscription);
    return Object.assign(end, { drain: async () => end() });
  }

  async request(subject: string, data: Uint8Array): Promise<Uint8Array> {
    const reply = this.newInbox();
    const { promise, resolve } = Promise.withResolvers<Uint8Array>();
    const end = this.subscribe(reply, (answer) => resolve(answer));
    if (this.hub.publish(subject, data, reply) === 0) {
      throw new AppError("request.no_responder", `nobody serves ${subject}`);
    }
    const answer = await promise;
    end();
    return answer;
  }

  async requestMany(subject: string, data: Uint8Array): Promise<Uint8Array[]> {
    return [await this.request(subject, data)];
  }

  serve(
    subject: string,
    handler: (data: Uint8Array, subject: string) => Promise<Uint8Array> | Uint8Array,
  ): Subscription {
    return this.subscribe(subject, (data, asked, reply) => {
      void Promise.resolve(handler(data, asked)).then((answer) => this.hub.publish(reply!, answer));
    });
  }
}

function matches(pattern: string, subject: string): boolean {
  const want = pattern.split(".");
  const have = subject.split(".");
  for (let i = 0; i < want.length; i++) {
    if (want[i] === ">") return have.length > i;
    if (have[i] === undefined || (want[i] !== "*" && want[i] !== have[i])) return false;
  }
  return want.length === have.length;
}
