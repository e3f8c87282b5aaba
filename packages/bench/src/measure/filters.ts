/** Subscribes many connections to filters of their own: how fast, and what a filter costs in resident memory. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import type { Running } from "../systems/system.js";
import { type Figures, significant } from "./stats.js";
import { coresBetween, readCpu, readMemory, readMemoryByRole } from "./usage.js";

/** `filters` in all, evenly over the connections. `settleSeconds` pass before each look at the memory. */
export interface FiltersOptions {
  readonly running: Running;
  readonly connections: number;
  readonly filters: number;
  readonly settleSeconds: number;
}

/** At a time: handshakes, and clients that wait for SUBACK. */
const AT_ONCE = 64;
const FILTERS_PER_PACKET = 50;
/** Filters that a message is sent to in the end. */
const CHECKED = 500;
const WAIT_MS = 120_000;
const CHECK_MS = 20_000;

/**
 * Figures: `subscribes_per_second` from the first SUBSCRIBE to the last SUBACK, `bytes_per_filter` over all processes as
 * proportional set size, `<role>_bytes_per_filter` per duty, `rss_bytes_per_filter`, `cpu_us_per_subscribe`, `system_cores`.
 * @throws AppError `setup.process_failed` when a connection or a filter is refused, or a message to one of the filters does
 * not come to its client alone: there is no honest figure then.
 */
export async function measureFilters(options: FiltersOptions): Promise<Figures> {
  const { running, connections, filters, settleSeconds } = options;
  const port = running.mqttPort;
  if (port === undefined) throw failed("it speaks no MQTT");
  const clients = Array.from({ length: connections }, (_, i) => new Client(port, `filters-${i}`));
  const each = Math.ceil(filters / connections);
  const clientOf = (filter: number): Client => clients[Math.floor(filter / each)] as Client;
  try {
    await inParallel(clients, (client) => client.open());
    await delay(settleSeconds * 1000);
    const before = { all: readMemory(running), roles: readMemoryByRole(running) };
    const from = readCpu(running);
    const startedNs = process.hrtime.bigint();
    await inParallel(clients, async (client, i) => {
      const own = Array.from({ length: Math.min(each, filters - i * each) }, (_, k) => i * each + k);
      for (let at = 0; at < own.length; at += FILTERS_PER_PACKET) {
        await client.subscribe(own.slice(at, at + FILTERS_PER_PACKET).map(filterOf));
      }
    });
    const to = readCpu(running);
    const seconds = Number(process.hrtime.bigint() - startedNs) / 1e9;
    await check(new Client(port, "filters-check"), filters, clientOf);
    await delay(settleSeconds * 1000);
    const after = { all: readMemory(running), roles: readMemoryByRole(running) };
    const figures: Record<string, number> = {
      filters,
      subscribes_per_second: Math.round(filters / seconds),
      cpu_us_per_subscribe: significant(((to.seconds - from.seconds) / filters) * 1e6, 3),
      system_cores: significant(coresBetween(from, to), 3),
      bytes_per_filter: Math.round((after.all.pssBytes - before.all.pssBytes) / filters),
      rss_bytes_per_filter: Math.round((after.all.rssBytes - before.all.rssBytes) / filters),
    };
    for (const [role, memory] of Object.entries(after.roles)) {
      const grown = memory.pssBytes - (before.roles[role]?.pssBytes ?? 0);
      figures[`${role}_bytes_per_filter`] = Math.round(grown / filters);
    }
    return figures;
  } finally {
    for (const client of clients) client.close();
  }
}

const filterOf = (filter: number): string => `devices/device-${filter}/commands/#`;

/** A message to filters all over the table comes to the client that wants it. */
async function check(
  publisher: Client,
  filters: number,
  clientOf: (filter: number) => Client,
): Promise<void> {
  await publisher.open();
  const step = Math.max(1, Math.floor(filters / CHECKED));
  const asked: number[] = [];
  for (let filter = 0; filter < filters; filter += step) {
    asked.push(filter);
    publisher.publish(`devices/device-${filter}/commands/check`);
  }
  const isThere = (filter: number): boolean =>
    clientOf(filter).received.has(`devices/device-${filter}/commands/check`);
  const until = Date.now() + CHECK_MS;
  while (!asked.every(isThere)) {
    if (Date.now() > until)
      throw failed(`${asked.filter(isThere).length} of ${asked.length} messages arrived`);
    await delay(50);
  }
  publisher.close();
  const received = new Set(asked.map(clientOf));
  const sum = [...received].reduce((all, client) => all + client.received.size, 0);
  if (sum !== asked.length) throw failed(`${sum} messages arrived of ${asked.length}`);
}

async function inParallel<T>(
  all: readonly T[],
  run: (one: T, index: number) => Promise<void>,
): Promise<void> {
  let next = 0;
  const worker = async (): Promise<void> => {
    while (next < all.length) {
      const index = next++;
      await run(all[index] as T, index);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
}

function failed(what: string): AppError {
  return new AppError("setup.process_failed", what);
}

/** As little of MQTT 3.1.1 as it takes. */
class Client {
  /** Topics of the messages that came. */
  readonly received = new Set<string>();
  private socket: Socket | undefined;
  private pending: Buffer = Buffer.alloc(0);
  private answer: { resolve(): void; reject(error: AppError): void } | undefined;

  constructor(
    private readonly port: number,
    private readonly id: string,
  ) {}

  async open(): Promise<void> {
    const socket = connect({ port: this.port, host: "127.0.0.1" });
    this.socket = socket;
    socket.on("data", (data: Buffer) => this.take(data));
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.answer?.reject(failed(`the connection ${this.id} was closed`)));
    await once(socket, "connect");
    // Keep alive 0: it stays open for as long as this program does.
    const body = Buffer.concat([text("MQTT"), Buffer.from([4, 2, 0, 0]), text(this.id)]);
    await this.ask(packet(0x10, body));
  }

  async subscribe(filters: readonly string[]): Promise<void> {
    const body = [Buffer.from([0, 1]), ...filters.flatMap((filter) => [text(filter), Buffer.from([0])])];
    await this.ask(packet(0x82, Buffer.concat(body)));
  }

  publish(topic: string): void {
    this.socket?.write(packet(0x30, Buffer.concat([text(topic), Buffer.from("x")])));
  }

  close(): void {
    this.answer = undefined;
    this.socket?.destroy();
  }

  private async ask(bytes: Buffer): Promise<void> {
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(failed(`no answer for ${this.id}`)), WAIT_MS);
    this.answer = { resolve, reject };
    this.socket?.write(bytes);
    try {
      await promise;
    } finally {
      clearTimeout(timer);
      this.answer = undefined;
    }
  }

  private take(data: Buffer): void {
    this.pending = this.pending.length === 0 ? data : Buffer.concat([this.pending, data]);
    for (let end = packetEnd(this.pending); end > 0; end = packetEnd(this.pending)) {
      this.onPacket(this.pending.subarray(0, end));
      this.pending = this.pending.subarray(end);
    }
  }

  private onPacket(bytes: Buffer): void {
    const type = bytes[0]! >>> 4;
    const start = bytes.length > 129 ? 3 : 2;
    if (type === 3) {
      const length = bytes.readUInt16BE(start);
      this.received.add(bytes.toString("utf8", start + 2, start + 2 + length));
    } else if (type === 2 || type === 9) {
      const codes = type === 2 ? bytes.subarray(3) : bytes.subarray(start + 2);
      if (codes.every((code) => code === 0)) this.answer?.resolve();
      else this.answer?.reject(failed(`${this.id} was refused`));
    }
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([Buffer.from([bytes.length >>> 8, bytes.length & 0xff]), bytes]);
}

function packet(type: number, body: Buffer): Buffer {
  const { length } = body;
  const size = length < 128 ? [length] : [(length & 0x7f) | 0x80, length >>> 7];
  return Buffer.concat([Buffer.from([type, ...size]), body]);
}

/** Where the first packet ends; 0 while it is not all there. Packets here are below 16 kB. */
function packetEnd(bytes: Buffer): number {
  if (bytes.length < 2) return 0;
  let end = 2 + bytes[1]!;
  if (bytes[1]! > 0x7f) {
    if (bytes.length < 3) return 0;
    end = 3 + (bytes[1]! & 0x7f) + (bytes[2]! << 7);
  }
  return end <= bytes.length ? end : 0;
}
