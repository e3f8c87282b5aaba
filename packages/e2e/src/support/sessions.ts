/** A stock client whose session outlives its connections, with publishers that keep theirs too. */
import { setTimeout } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient, Store } from "mqtt";

/** Where an MQTT server listens: a box, a listener alone, or another broker. */
export interface MqttDoor {
  readonly ports: { readonly mqtt: number };
}

/** What a client remembers beyond its connections, as the standard asks of it. */
const lasting = () => ({
  clean: false,
  reconnectPeriod: 100,
  reconnectOnConnackError: true,
  incomingStore: new Store({ clean: false }),
  outgoingStore: new Store({ clean: false }),
});

/** Takes the numbered messages of one sender. */
export class Subscriber implements AsyncDisposable {
  /** Numbers that came again, and those that came first behind a higher one. */
  readonly doubles: number[] = [];
  readonly late: number[] = [];
  private readonly seen = new Set<number>();
  private highest = -1;

  private constructor(private readonly client: MqttClient) {}

  static async open(door: MqttDoor, clientId: string, filter: string, qos: 1 | 2): Promise<Subscriber> {
    const client = await connectAsync(`mqtt://127.0.0.1:${door.ports.mqtt}`, {
      clientId,
      ...lasting(),
      resubscribe: false,
    });
    // A lost connection is told here too; the client comes back by itself.
    client.on("error", () => undefined);
    const made = new Subscriber(client);
    client.on("message", (_topic, payload) => made.take(Number(payload.toString())));
    await client.subscribeAsync(filter, { qos });
    return made;
  }

  /** How many different numbers are there. */
  get count(): number {
    return this.seen.size;
  }

  /** Resolves when all numbers below `count` are there. */
  async have(count: number, deadlineMs: number): Promise<void> {
    try {
      await waitFor(() => this.seen.size >= count, { what: "all messages", deadlineMs });
    } catch (cause) {
      const missing = Array.from({ length: count }, (_, n) => n).filter((n) => !this.seen.has(n));
      throw new AppError(
        "operation.timeout",
        `${missing.length} of ${count} miss, the first is ${missing[0]}`,
        {
          cause,
        },
      );
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }

  private take(number: number): void {
    if (this.seen.has(number)) {
      this.doubles.push(number);
      return;
    }
    this.seen.add(number);
    if (number < this.highest) this.late.push(number);
    else this.highest = number;
  }
}

/** Sends no more than so many messages that the reader has not got yet. */
export interface Pace {
  readonly reader: Pick<Subscriber, "count">;
  readonly ahead: number;
}

const PACE_MS = 5;
/** Messages on the way to the server without an acknowledgement. */
const WINDOW = 16;
const PROGRESS_DEADLINE_MS = 60_000;

/** Sends numbers, in order and several at a time; once it is finished every number below `sent` is acknowledged. */
export class Sender implements AsyncDisposable {
  sent = 0;
  private acknowledged = 0;
  private isStopping = false;
  private isEnded = false;
  private readonly working: Promise<void>[];

  private constructor(
    private readonly client: MqttClient,
    private readonly topic: string,
    private readonly qos: 1 | 2,
    private readonly pace: Pace | undefined,
  ) {
    this.working = Array.from({ length: WINDOW }, () => this.work());
  }

  static async open(door: MqttDoor, name: string, topic: string, qos: 1 | 2, pace?: Pace): Promise<Sender> {
    const client = await connectAsync(`mqtt://127.0.0.1:${door.ports.mqtt}`, {
      clientId: name,
      ...lasting(),
    });
    client.on("error", () => undefined);
    return new Sender(client, topic, qos, pace);
  }

  async progress(count: number): Promise<void> {
    const from = this.acknowledged;
    await waitFor(() => this.acknowledged >= from + count, {
      what: `${count} more acknowledged messages on ${this.topic} than ${from}`,
      deadlineMs: PROGRESS_DEADLINE_MS,
    });
  }

  /** Sends nothing new; resolves when all that was sent is acknowledged. */
  async finish(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.working);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isStopping = this.isEnded = true;
    await this.client.endAsync(true);
  }

  private async work(): Promise<void> {
    while (!this.isStopping) {
      if (this.pace !== undefined && this.sent >= this.pace.reader.count + this.pace.ahead) {
        await setTimeout(PACE_MS);
        continue;
      }
      await this.deliver(String(this.sent++));
      this.acknowledged += 1;
    }
  }

  // What waits behind the messages that the client sends again is given back unsent, in order, when the connection closes meanwhile.
  private async deliver(text: string): Promise<void> {
    while (!this.isEnded) {
      try {
        await this.client.publishAsync(this.topic, text, { qos: this.qos });
        return;
      } catch (error) {
        if (this.client.disconnecting && !this.isEnded) throw error;
      }
    }
  }
}
