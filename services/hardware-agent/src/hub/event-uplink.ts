/** Carries records of the outbox to the hub's event stream, each under an id that it keeps for ever. */
import type { Bus, EventSender, EventTicket } from "@myelin/bus";
import {
  type Channel,
  createChannel,
  envelopeIdOf,
  Kind,
  Protocol,
  partitionOf,
  SAMPLES_CONTENT_TYPE,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { OutboxRecord, Uplink } from "../outbox/uplink.js";
import { readRecord } from "./sample-record.js";

/** Devices whose channels are kept; more than that are written anew with each record. */
const MAX_CHANNELS = 10_000;

/** Topic of the samples of a device. */
export function samplesPath(device: string): string {
  return `devices/${device}/samples`;
}

/** Its sender is started and stopped by the service. */
export class EventUplink implements Uplink, EventTicket {
  readonly #channels = new Map<string, Channel>();
  readonly #waiting = new Map<number, (ordinal: number, error: AppError | undefined) => void>();

  constructor(
    private readonly bus: Pick<Bus, "connected">,
    private readonly sender: EventSender,
    private readonly partitions: number,
  ) {}

  get isOpen(): boolean {
    return this.bus.connected && !this.sender.congested;
  }

  send(
    { segment, ordinal, payload, replayed }: OutboxRecord,
    settled: (ordinal: number, error: AppError | undefined) => void,
  ): void {
    const record = readRecord(payload);
    if (record === undefined) {
      const error = new AppError("contract.bad_payload", `the record ${segment}/${ordinal} holds no samples`);
      queueMicrotask(() => settled(ordinal, error));
      return;
    }
    const { device, at } = record;
    this.#waiting.set(ordinal, settled);
    const extras = { id: envelopeIdOf("", device, `${segment}/${ordinal}`), senderId: true, replayed };
    try {
      const channel = this.#channelOf(device);
      this.sender.append(channel, payload, at, payload.length, this, ordinal, extras);
    } catch (thrown) {
      this.#waiting.delete(ordinal);
      const error = AppError.from(thrown);
      queueMicrotask(() => settled(ordinal, error));
    }
  }

  /** Called by the event sender. */
  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const ordinal = numbers[i] as number;
      const told = this.#waiting.get(ordinal);
      this.#waiting.delete(ordinal);
      told?.(ordinal, error);
    }
  }

  #channelOf(device: string): Channel {
    const known = this.#channels.get(device);
    if (known !== undefined) return known;
    const isKept = this.#channels.size < MAX_CHANNELS;
    const head = {
      tenant: "",
      deviceId: device,
      path: samplesPath(device),
      kind: Kind.TELEMETRY,
      protocol: Protocol.HARDWARE,
      contentType: SAMPLES_CONTENT_TYPE,
      port: "",
      profile: "",
    };
    const number = isKept ? this.#channels.size + 1 : 0;
    const channel = createChannel(number, head, partitionOf("", device, this.partitions));
    if (isKept) this.#channels.set(device, channel);
    return channel;
  }
}
