/** Publishes for the modules of devices: on the lanes, as every producer does. */
import type { EventSender, TelemetrySender } from "@myelin/bus";
import {
  type Channel,
  createChannel,
  type EnvelopeExtras,
  isTopicName,
  Kind,
  Protocol,
  partitionOf,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { causeHeaders } from "./causes.js";
import type { DevicePublication, DevicePublisher } from "./module.js";

/** Outcome of one event: called once. */
type Settle = (error: AppError | undefined) => void;

/** Its senders are started and stopped by the service. */
export class LanePublisher implements DevicePublisher {
  readonly #waiting = new Map<number, Settle>();
  #last = 0;

  constructor(
    private readonly telemetrySender: TelemetrySender,
    private readonly eventSender: EventSender,
    private readonly partitions: number,
  ) {}

  event(publication: DevicePublication): Promise<void> {
    const { payload } = publication;
    return new Promise((resolve, reject) => {
      const channel = this.#channelOf(publication);
      const number = ++this.#last;
      this.#waiting.set(number, (error) => (error === undefined ? resolve() : reject(error)));
      try {
        this.eventSender.append(channel, payload, 0, payload.length, this, number, extrasOf(publication));
      } catch (thrown) {
        this.#waiting.delete(number);
        throw thrown;
      }
    });
  }

  telemetry(publication: DevicePublication): void {
    const { payload } = publication;
    const channel = this.#channelOf(publication);
    this.telemetrySender.appendWith(channel, payload, 0, payload.length, extrasOf(publication));
  }

  /** Called by the event sender. */
  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const number = numbers[i] as number;
      this.#waiting.get(number)?.(error);
      this.#waiting.delete(number);
    }
  }

  #channelOf({ tenant, device, path, kind, contentType = "application/json" }: DevicePublication): Channel {
    if (!isTopicName(path)) throw new AppError("contract.bad_envelope", "a path that is no topic name");
    const head = {
      tenant,
      deviceId: device,
      path,
      kind: kind > Kind.UNSPECIFIED ? kind : Kind.EVENT,
      protocol: Protocol.APP,
      contentType,
      port: "",
      profile: "",
    };
    // Answers have topics of their own, most of them used once: a number for each would never be used again.
    return createChannel(0, head, partitionOf(tenant, device, this.partitions));
  }
}

function extrasOf({ retain, expiresAtUs, correlation, causes }: DevicePublication): EnvelopeExtras {
  return { retain, expiresAtUs, correlation, headers: causeHeaders(causes) };
}
