/** A stock client whose session outlives its connections, with publishers that keep theirs too. */
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient, Store } from "mqtt";
import type { Doors } from "../support/index.js";

/** What a client remembers beyond its connections, as the standard asks of it. */
const lasting = () => ({
  clean: false,
  reconnectPeriod: 100,
  reconnectOnConnackError: true,
  incomingStore: new Store({ clean: false }),
  outgoingStore: new Store({ clean: false }),
});

/** Everything it is given, in order of arrival. */
export class Subscriber implements AsyncDisposable {
  readonly texts: string[] = [];

  private constructor(private readonly client: MqttClient) {}

  static async open(doors: Doors, clientId: string, filter: string, qos: 1 | 2): Promise<Subscriber> {
    const client = await connectAsync(`mqtt://127.0.0.1:${doors.ports.mqtt}`, {
      clientId,
      ...lasting(),
      resubscribe: false,
    });
    // A lost connection is told here too; the client comes back by itself.
    client.on("error", () => undefined);
    const made = new Subscriber(client);
    client.on("message", (_topic, payload) => void made.texts.push(payload.toString()));
    await client.subscribeAsync(filter, { qos });
    return made;
  }

  /** Resolves when all of these are there. */
  async have(wanted: ReadonlySet<string>, deadlineMs: number): Promise<void> {
    await waitFor(() => new Set(this.texts).size >= wanted.size, {
      what: `${wanted.size} different messages, ${new Set(this.texts).size} are there`,
      deadlineMs,
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}

/** Slow enough for what waits for a client that is away for some seconds to stay within the bound of its session. */
const WINDOW = 1;
const PROGRESS_DEADLINE_MS = 40_000;

/** Sends numbered messages, some at a time, and keeps which of them were acknowledged. */
export class Sender implements AsyncDisposable {
  readonly acknowledged = new Set<string>();
  private next = 0;
  private isStopping = false;
  private readonly working: Promise<void>[];

  private constructor(
    private readonly client: MqttClient,
    private readonly name: string,
    private readonly qos: 1 | 2,
  ) {
    this.working = Array.from({ length: WINDOW }, () => this.work());
  }

  static async open(doors: Doors, name: string, qos: 1 | 2): Promise<Sender> {
    const client = await connectAsync(`mqtt://127.0.0.1:${doors.ports.mqtt}`, {
      clientId: name,
      ...lasting(),
    });
    client.on("error", () => undefined);
    return new Sender(client, name, qos);
  }

  async progress(count: number): Promise<void> {
    const from = this.acknowledged.size;
    await waitFor(() => this.acknowledged.size >= from + count, {
      what: `${count} more acknowledged messages of ${this.name}, which has ${from}`,
      deadlineMs: PROGRESS_DEADLINE_MS,
    });
  }

  /** Sends nothing new; resolves when all that was sent is acknowledged. */
  async finish(): Promise<void> {
    this.isStopping = true;
    await Promise.all(this.working);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.isStopping = true;
    await this.client.endAsync(true);
  }

  private async work(): Promise<void> {
    while (!this.isStopping) {
      const text = `${this.name}:${this.next++}`;
      await this.client.publishAsync("load/mqtt", text, { qos: this.qos });
      this.acknowledged.add(text);
    }
  }
}
