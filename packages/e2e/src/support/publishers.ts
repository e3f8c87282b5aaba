/** Devices under load: they number their events, send them again until they are acknowledged, and keep which were. */
import { McpClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import type { Received } from "./app.js";
import type { Doors } from "./box.js";

/** Events of one device that are under way at a time, where its protocol lets it send more than one. */
const WINDOW = 10;
const STOP_DEADLINE_MS = 30_000;

/** Resolves when the platform has promised to keep the event; rejects when it must be sent again. */
type Send = (number: number) => Promise<void>;

/** One device that sends as fast as it is acknowledged, until it is stopped. */
export class Publisher implements AsyncDisposable {
  readonly device: string;
  /** Numbers of acknowledged events; every number from 0 on is sent. */
  readonly acknowledged = new Set<number>();
  /** Attempts that were refused or broke off. */
  failures = 0;
  #next = 0;
  #stopping = false;
  readonly #working: Promise<void>[];
  readonly #close: () => Promise<unknown>;

  constructor(device: string, window: number, send: Send, close: () => Promise<unknown>) {
    this.device = device;
    this.#close = close;
    this.#working = Array.from({ length: window }, () => this.#work(send));
  }

  /** Resolves when `count` more events are acknowledged. */
  async progress(count: number): Promise<void> {
    const from = this.acknowledged.size;
    await waitFor(() => this.acknowledged.size >= from + count, {
      what: `${count} more acknowledged events of ${this.device}, which has ${from}`,
      deadlineMs: STOP_DEADLINE_MS,
    });
  }

  /** Sends nothing new, and resolves when all that was sent is acknowledged. */
  async finish(): Promise<void> {
    this.#stopping = true;
    const sent = this.#next;
    await waitFor(() => this.acknowledged.size === sent, {
      what: `the last of ${sent} acknowledgements at ${this.device}`,
      deadlineMs: STOP_DEADLINE_MS,
    });
    await Promise.all(this.#working);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopping = true;
    await this.#close();
  }

  async #work(send: Send): Promise<void> {
    while (!this.#stopping) {
      const number = this.#next++;
      await send(number);
      this.acknowledged.add(number);
    }
  }
}

/** The text by which the application tells events apart. */
function textOf(device: string, number: number): string {
  return `${device}:${number}`;
}

/** QoS 1 with a stock client, which sends again what was not acknowledged when it has reconnected. */
export async function mqttPublisher(doors: Doors, device: string): Promise<Publisher> {
  const client = await connectAsync(`mqtt://127.0.0.1:${doors.ports.mqtt}`, {
    clientId: device,
    reconnectPeriod: 100,
  });
  // A lost connection is told here too; the client goes on by itself.
  client.on("error", () => undefined);
  const send: Send = async (number) => {
    await client.publishAsync("load/mqtt", textOf(device, number), { qos: 1 });
  };
  return new Publisher(device, WINDOW, send, () => client.endAsync(true));
}

/** POST after POST with an idempotency key, each tried again until it is answered 202. */
export function httpPublisher(doors: Doors, device: string): Publisher {
  const url = `${doors.httpUrl}/devices/${device}/messages/load/http`;
  const ended = new AbortController();
  const send: Send = async (number) => {
    await waitFor(
      async () => {
        try {
          const answer = await fetch(url, {
            method: "POST",
            body: textOf(device, number),
            headers: { "content-type": "text/plain", "idempotency-key": textOf(device, number) },
            signal: AbortSignal.any([ended.signal, AbortSignal.timeout(10_000)]),
          });
          await answer.arrayBuffer();
          if (answer.status === 202) return true;
        } catch {
          // No connection: the listener is away. A refusal and this are one to a device that tries again.
        }
        publisher.failures += 1;
        return false;
      },
      { what: `202 for ${textOf(device, number)}`, deadlineMs: STOP_DEADLINE_MS, everyMs: 50 },
    );
  };
  const publisher: Publisher = new Publisher(device, 1, send, async () => ended.abort());
  return publisher;
}

/** Events over MCP; the client keeps them until they are acknowledged. */
export async function mcpPublisher(
  doors: Doors,
  device: string,
  protocol: "tcp" | "udp",
): Promise<Publisher> {
  const port = protocol === "tcp" ? doors.ports.mcpTcp : doors.ports.mcpUdp;
  const client = new McpClient({
    url: `${protocol}://127.0.0.1:${port}`,
    deviceId: device,
    backoff: { initialMs: 50, maxMs: 500 },
    retransmitMs: 300,
    heartbeatMs: 1_000,
    pongTimeoutMs: 1_000,
  });
  await client.start(AbortSignal.timeout(10_000));
  const send: Send = async (number) => {
    // What the platform refuses for now, as when it has no NATS, is for the device to send again: under the same id.
    await waitFor(
      () =>
        client
          .send(`load/${protocol}`, textOf(device, number), { lane: "event", id: textOf(device, number) })
          .then(() => true),
      { what: `the acknowledgement of ${textOf(device, number)}`, deadlineMs: STOP_DEADLINE_MS, everyMs: 50 },
    );
  };
  return new Publisher(device, WINDOW, send, () => client.stop());
}

/** What one device's events became at an application. */
export interface Delivery {
  /** Acknowledged to the device and never received. */
  readonly lost: readonly number[];
  /** First deliveries that came after a later number. */
  readonly disordered: readonly number[];
  /** Received again although no delivery says that it may be a repeated one. */
  readonly doubled: readonly number[];
}

/** Compares what was promised with what was received. */
export function compare(publisher: Publisher, received: readonly Received[]): Delivery {
  const seen = new Set<number>();
  const disordered: number[] = [];
  const doubled: number[] = [];
  let highest = -1;
  for (const { device, text, redelivered } of received) {
    if (device !== publisher.device) continue;
    const number = Number(text.slice(text.lastIndexOf(":") + 1));
    if (seen.has(number)) {
      if (!redelivered) doubled.push(number);
      continue;
    }
    seen.add(number);
    if (number < highest) disordered.push(number);
    else highest = number;
  }
  return { lost: [...publisher.acknowledged].filter((number) => !seen.has(number)), disordered, doubled };
}
