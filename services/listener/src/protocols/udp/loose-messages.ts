/** Messages of senders without a session: each datagram says who it is from, and is answered by itself. */
import type { EventTicket } from "@myelin/bus";
import {
  type EnvelopeExtras,
  encodeMcpFrame,
  envelopeIdOf,
  isTopicName,
  type McpMessageView,
  Protocol,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { ConnectVerdict, Identity } from "../../core/admission.js";
import type { LaneIndex } from "../../core/channel-table.js";
import { expiryUs } from "../../core/expiry.js";
import { kindOf } from "../../core/ingress.js";
import type { JsonMessage } from "../../core/json-message.js";
import type { ProtocolContext } from "../../core/protocol.js";
import type { UdpConfig } from "./config.js";

const LANE_TELEMETRY = 1;
const MAX_NAME_BYTES = 256;

/** Where a datagram came from, and how an answer looks there. */
export interface Source {
  readonly address: string;
  readonly port: number;
  readonly json: boolean;
  /** An answer is never larger. */
  readonly bytes: number;
}

/** What one datagram says; `payload` is read during the call. */
interface Loose {
  readonly device: string;
  readonly path: string;
  readonly id: string;
  readonly lane: LaneIndex;
  readonly contentType: string;
  readonly payload: Buffer;
  readonly extras: EnvelopeExtras | undefined;
}

interface Owed {
  readonly source: Source;
  readonly id: string;
}

/** One per port. @param send hands an answer to the socket */
export class LooseMessages implements EventTicket {
  private readonly identities = new Map<string, Identity>();
  private generation = -1;
  private readonly owed = new Map<number, Owed>();
  private nextNumber = 1;
  private asking = 0;

  constructor(
    private readonly config: UdpConfig,
    private readonly ctx: ProtocolContext,
    private readonly send: (bytes: Buffer, source: Source) => void,
  ) {}

  takeJson(message: JsonMessage, bytes: Buffer, source: Source): void {
    this.take(
      {
        device: message.device,
        path: message.path,
        id: message.id,
        lane: message.lane,
        contentType: "application/json",
        payload: bytes.subarray(message.payloadStart, message.payloadEnd),
        extras: undefined,
      },
      source,
    );
  }

  takeMcp(view: McpMessageView, source: Source): void {
    const { sourceTimeUs, ttlMs, sequence } = view;
    const expiresAtUs = ttlMs > 0 ? expiryUs(sourceTimeUs || this.ctx.clock.wallUs(), ttlMs) : undefined;
    this.take(
      {
        device: view.deviceId,
        path: view.type,
        id: view.id,
        lane: view.laneNumber === LANE_TELEMETRY ? 0 : 1,
        contentType: view.contentType,
        payload: view.payload,
        extras: {
          sourceTimeUs: sourceTimeUs || undefined,
          deviceSequence: sequence || undefined,
          expiresAtUs,
          traceparent: view.traceparent || undefined,
        },
      },
      source,
    );
  }

  settled(numbers: readonly number[], from: number, to: number, error: AppError | undefined): void {
    for (let i = from; i < to; i++) {
      const owed = this.owed.get(numbers[i]!);
      if (owed === undefined) continue;
      this.owed.delete(numbers[i]!);
      if (error === undefined) this.acknowledge(owed.source, owed.id);
      else this.refuse(owed.source, owed.id, error);
    }
  }

  /** Counts a message that is not taken, and tells the sender of an event. */
  refuseMcp(view: McpMessageView, source: Source, error: AppError): void {
    const lane = view.laneNumber === LANE_TELEMETRY ? 0 : 1;
    this.ctx.ingress.refuse(lane, error.code);
    if (lane === 1) this.refuse(source, view.id, error);
  }

  /** Tells the sender, unless that would be more than it has sent. */
  refuse(source: Source, id: string, error: AppError): void {
    const { code, retryable } = error;
    const answer = source.json
      ? Buffer.from(`${JSON.stringify({ error: code, id: id || undefined })}\n`)
      : encodeMcpFrame({ control: { kind: "error", code, retryable, id } });
    if (answer.length <= source.bytes) this.send(answer, source);
  }

  private acknowledge(source: Source, id: string): void {
    if (!source.json && id === "") return;
    const answer = source.json
      ? Buffer.from(`{"ack":${JSON.stringify(id)}}\n`)
      : encodeMcpFrame({ control: { kind: "ack", ids: [id] } });
    if (answer.length <= source.bytes) this.send(answer, source);
  }

  private take(message: Loose, source: Source): void {
    try {
      check(message);
      const identity = this.identityOf(message.device, source);
      if (!(identity instanceof Promise)) {
        this.put(message, source, identity);
        return;
      }
      this.asking += 1;
      // The datagram's bytes belong to the socket.
      const kept = { ...message, payload: Buffer.from(message.payload) };
      void identity
        .then((known) => this.put(kept, source, known))
        .catch((thrown: unknown) => this.failed(kept, source, thrown))
        .finally(() => {
          this.asking -= 1;
        });
    } catch (thrown) {
      this.failed(message, source, thrown);
    }
  }

  private put(
    { path, lane, contentType, payload, id, extras }: Loose,
    source: Source,
    identity: Identity,
  ): void {
    const { ingress, connections, clock } = this.ctx;
    if ((connections.deviceRates?.take(identity, 1, clock.nowMs()) ?? 0) > 0) {
      throw new AppError("limit.rate", `${identity.deviceId} sends too fast`);
    }
    const kind = kindOf(path, lane);
    const protocol = Protocol.UDP;
    const channel = ingress.channelOf({ identity, path, kind, protocol, port: this.ctx.port, contentType });
    if (lane === 0) {
      if (extras === undefined) ingress.telemetry(channel, payload, 0, payload.length);
      else ingress.telemetryWith(channel, payload, 0, payload.length, extras);
      return;
    }
    if (this.owed.size >= this.config.maxUnanswered) {
      throw new AppError("queue.full", `${this.owed.size} events are on their way`);
    }
    const number = this.nextNumber++;
    this.owed.set(number, { source, id });
    const all =
      id === ""
        ? extras
        : { ...extras, id: envelopeIdOf(identity.tenant, identity.deviceId, id), senderId: true };
    try {
      ingress.event(channel, payload, 0, payload.length, this, number, all);
    } catch (thrown) {
      // Nobody will settle it.
      this.owed.delete(number);
      throw thrown;
    }
  }

  private failed(message: Loose, source: Source, thrown: unknown): void {
    const error = AppError.from(thrown);
    if (error.family === "ours") {
      this.ctx.log.error({ code: error.code, stack: error.stack }, "cannot handle a datagram");
    }
    if (error.code === "protocol.malformed") this.ctx.metrics.malformed.add("udp,malformed");
    this.ctx.ingress.refuse(message.lane, error.code);
    if (message.lane === 1) this.refuse(source, message.id, error);
  }

  private identityOf(device: string, source: Source): Identity | Promise<Identity> {
    const { admission, metrics, port } = this.ctx;
    if (this.generation !== admission.generation) {
      this.identities.clear();
      this.generation = admission.generation;
    }
    const key = `${source.address} ${device}`;
    const known = this.identities.get(key);
    if (known !== undefined) return known;
    if (this.asking >= this.config.maxUnanswered)
      throw new AppError("queue.full", "too many senders are being checked");
    const decide = (verdict: ConnectVerdict): Identity => {
      if (!verdict.allow) {
        metrics.refused.add(`udp,${verdict.code}`);
        throw new AppError(verdict.code, `${device} is not let in`);
      }
      if (this.identities.size >= this.config.maxSources)
        this.identities.delete(this.identities.keys().next().value!);
      this.identities.set(key, verdict.identity);
      return verdict.identity;
    };
    const verdict = admission.connect({ protocol: "udp", port, address: source.address, deviceId: device });
    return verdict instanceof Promise ? verdict.then(decide) : decide(verdict);
  }
}

/** @throws AppError `protocol.malformed` */
function check({ device, path, id }: Loose): void {
  const bad =
    device === "" || Buffer.byteLength(device) > MAX_NAME_BYTES || /[\p{Cc}\uFFFD]/u.test(device)
      ? "device takes 1 to 256 bytes without control characters"
      : !isTopicName(path) || path.includes("\uFFFD")
        ? "the path is empty or holds +, # or NUL"
        : Buffer.byteLength(id) > MAX_NAME_BYTES
          ? "id takes at most 256 bytes"
          : undefined;
  if (bad !== undefined) throw new AppError("protocol.malformed", bad);
}
