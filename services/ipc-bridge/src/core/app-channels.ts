/** The bridge's channels for what apps publish: one per distinct head, bounded, numbers never used twice. */
import {
  type BatchView,
  type Channel,
  createChannel,
  expectNoPlatformTopic,
  type Head,
  isTopicName,
  Kind,
  Lane,
  MAX_HEAD_STRING_BYTES,
  Protocol,
  partitionOf,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";

/** Heads kept; beyond it the oldest is forgotten and gets a new number when it comes again. */
const MAX_CHANNELS = 16_384;

/** Where the numbers come from: one allocator per producer incarnation, whoever produces in this process. */
export interface ChannelNumbers {
  next(): number;
}

/** Shared by the sessions of a bridge, since the bridge is the producer of all of them. */
export class AppChannels {
  readonly #channels = new Map<string, Channel>();
  readonly #partitions: number;
  readonly #numbers: ChannelNumbers;

  constructor(partitions: number, numbers: ChannelNumbers) {
    this.#partitions = partitions;
    this.#numbers = numbers;
  }

  /**
   * The channel of the view's current envelope. Kind defaults to the lane's, the device id to the app's name, for an app
   * that speaks for itself; the protocol becomes `app`.
   * @throws AppError `contract.bad_envelope` for a head that cannot be routed
   */
  of(view: BatchView, lane: Lane, app: string): Channel {
    const key = `${lane}${app}\0${view.headBytes().toString("latin1")}`;
    const known = this.#channels.get(key);
    if (known !== undefined) return known;
    const head = toHead(view, lane, app);
    const channel = createChannel(
      this.#numbers.next(),
      head,
      partitionOf(head.tenant, head.deviceId, this.#partitions),
    );
    if (this.#channels.size >= MAX_CHANNELS) {
      for (const oldest of this.#channels.keys()) {
        this.#channels.delete(oldest);
        break;
      }
    }
    this.#channels.set(key, channel);
    return channel;
  }
}

function toHead(view: BatchView, lane: Lane, app: string): Head {
  const given = view.head();
  const head = given.deviceId === "" ? { ...given, deviceId: app } : given;
  expectNoPlatformTopic(head.path);
  const strings = [head.tenant, head.deviceId, head.path, head.contentType, head.port, head.profile];
  if (!isTopicName(head.path)) throw bad("an envelope whose path is empty, or has wildcards or NUL");
  if (strings.some((s) => Buffer.byteLength(s) > MAX_HEAD_STRING_BYTES || s.includes("\0"))) {
    throw bad("a head field that is too long or has NUL");
  }
  const kind = head.kind > Kind.UNSPECIFIED ? head.kind : lane === Lane.EVENT ? Kind.EVENT : Kind.TELEMETRY;
  return { ...head, kind, protocol: Protocol.APP };
}

function bad(what: string): AppError {
  return new AppError("contract.bad_envelope", what);
}
