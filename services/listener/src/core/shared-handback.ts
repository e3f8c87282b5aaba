/** What the last member of a shared subscription on this listener has left: to members on other listeners, and from those to ours. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { envelope, subjects } from "@myelin/contract";
import { AppError, backoff, type Clock, type Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { SharedGroup } from "./shared-groups.js";
import type { SubscriberExtras, SubscriberMessage } from "./subscriptions.js";

/** Payloads that wait for an answer; what is beyond is lost with its member. */
const MAX_WAITING_BYTES = 16 * 1024 * 1024;
const MAX_REQUEST_BYTES = 256 * 1024;
const ANSWER_WITHIN_MS = 2_000;
/** Longer than members without room are waited for on the other side. */
const GIVE_UP_AFTER_MS = 60_000;
/** What the rest of a message takes, roughly. */
const MESSAGE_BYTES = 256;

export interface SharedHandbackOptions {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: Logger;
  readonly groups: { group(key: string): SharedGroup | undefined };
  /** So many messages found no member anywhere. */
  readonly onLost: (messages: number) => void;
}

/** One per process. Listeners with members of a group, and homes of sessions that are, serve its subject; one of them takes what is handed back. */
export class SharedHandback implements Component {
  readonly name = "shared-handback";
  private readonly serving = new Map<string, Unsubscribe>();
  private readonly gathered = new Map<string, envelope.Envelope[]>();
  private readonly sending = new Set<Promise<void>>();
  private waitingBytes = 0;
  private giveUpAtMs = Number.POSITIVE_INFINITY;

  constructor(private readonly options: SharedHandbackOptions) {}

  async start(): Promise<void> {
    this.giveUpAtMs = Number.POSITIVE_INFINITY;
  }

  /** After the ports: what their clients have left is still handed on. */
  async stop(): Promise<void> {
    this.giveUpAtMs = this.options.clock.nowMs() + ANSWER_WITHIN_MS;
    await Promise.all(this.sending);
    for (const end of this.serving.values()) end();
    this.serving.clear();
  }

  /** So many members has a group here now. */
  shared(key: string, members: number): void {
    const serving = this.serving.get(key);
    if (members > 0 && serving === undefined) {
      const subject = subjects.sharedHandback(key);
      const end = this.options.bus.serve(subject, (data) => this.onHandback(key, data), { queue: "members" });
      this.serving.set(key, end);
    } else if (members === 0 && serving !== undefined) {
      serving();
      this.serving.delete(key);
    }
  }

  /** The group has no member here any more. The message is kept; false: there are too many. */
  take(key: string, message: SubscriberMessage): boolean {
    const bytes = sizeOf(message);
    if (this.waitingBytes + bytes > MAX_WAITING_BYTES) return false;
    this.waitingBytes += bytes;
    let gathered = this.gathered.get(key);
    if (gathered === undefined) {
      gathered = [];
      this.gathered.set(key, gathered);
      // When the member has left all it has, or this much of it.
      const sent = Promise.resolve().then(() => this.handBack(key));
      this.sending.add(sent);
      void sent.finally(() => this.sending.delete(sent));
    }
    gathered.push(envelopeOf(message));
    return true;
  }

  private async handBack(key: string): Promise<void> {
    const messages = this.gathered.get(key) ?? [];
    this.gathered.delete(key);
    for (let from = 0; from < messages.length; ) {
      let to = from;
      let bytes = 0;
      while (to < messages.length && (to === from || bytes < MAX_REQUEST_BYTES))
        bytes += sizeOf(messages[to++]!);
      await this.request(key, messages.slice(from, to));
      this.waitingBytes -= bytes;
      from = to;
    }
  }

  /** An answer that is lost makes them come again, which QoS 1 allows; those of QoS 2 were never sent to anybody. */
  private async request(key: string, envelopes: envelope.Envelope[]): Promise<void> {
    const { bus, clock, log, onLost } = this.options;
    const request = envelope.Batch.encode(envelope.Batch.fromPartial({ envelopes })).finish();
    const untilMs = clock.nowMs() + GIVE_UP_AFTER_MS;
    const waits = backoff({ initialMs: 20, maxMs: 200 });
    for (;;) {
      try {
        await bus.request(subjects.sharedHandback(key), request, ANSWER_WITHIN_MS);
        return;
      } catch (thrown) {
        const { code } = AppError.from(thrown);
        const isOver = clock.nowMs() >= Math.min(untilMs, this.giveUpAtMs);
        if (code !== "request.no_responder" && !isOver) {
          await clock.sleep(waits.nextMs());
          continue;
        }
        log.debug({ code, messages: envelopes.length }, "what a member has left finds no other member");
        onLost(envelopes.length);
        return;
      }
    }
  }

  private onHandback(key: string, data: Uint8Array): Uint8Array {
    const group = this.options.groups.group(key);
    // The last member has gone just now; the sender asks again.
    if (group === undefined) throw new AppError("target.unavailable", "the group has no member here");
    if (!group.hasRoom) throw new AppError("target.unavailable", "no member here has room");
    for (const one of envelope.Batch.decode(data).envelopes) group.deliver(messageOf(one));
    return new Uint8Array(0);
  }
}

function sizeOf(message: SubscriberMessage | envelope.Envelope): number {
  const payload = "payload" in message ? message.payload.length : message.payloadEnd - message.payloadStart;
  return payload + message.path.length + MESSAGE_BYTES;
}

const NO_EXTRAS: SubscriberExtras = {
  expiresAtUs: 0,
  headers: [],
  responsePath: "",
  correlation: Buffer.alloc(0),
  isText: false,
};

function envelopeOf(message: SubscriberMessage): envelope.Envelope {
  const { tenant, deviceId, path, contentType, qos, retain, bytes, payloadStart, payloadEnd } = message;
  const { expiresAtUs, headers, responsePath, correlation, isText } = message.extras() ?? NO_EXTRAS;
  return envelope.Envelope.fromPartial({
    ...{ tenant, deviceId, path, contentType, qos, retain, expiresAtUs, responsePath },
    payload: bytes.subarray(payloadStart, payloadEnd),
    headers: headers.map(({ name, value }) => ({ name, value })),
    correlation: Buffer.from(correlation),
    payloadIsText: isText,
  });
}

function messageOf(one: envelope.Envelope): SubscriberMessage {
  const { tenant, deviceId, path, contentType, qos, retain, payload } = one;
  const { expiresAtUs, headers, responsePath, correlation, payloadIsText: isText } = one;
  return {
    ...{ tenant, deviceId, path, contentType, qos, retain, bytes: Buffer.from(payload) },
    ...{ payloadStart: 0, payloadEnd: payload.length },
    extras: () => ({ expiresAtUs, headers, responsePath, correlation, isText }),
  };
}
