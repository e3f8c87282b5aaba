/** Closes a stream to new messages while there is no room for what becomes of them, and tells how full streams are. */
import { jetstreamManager, type StreamInfo } from "@nats-io/jetstream";
import type { Bus } from "../api.js";
import { busError } from "./errors.js";
import { natsBusOf } from "./nats-bus.js";

/** How full a stream is; `maxBytes` is what it may hold when it is open, -1 without a limit. */
export interface StreamRoom {
  readonly bytes: number;
  readonly messages: number;
  readonly maxBytes: number;
  readonly isOpen: boolean;
}

/** The door of any stream that refuses new messages when full. */
export interface StreamDoor {
  /** @throws AppError `bus.*` */
  room(stream: string): Promise<StreamRoom>;
  /**
   * Closed, the stream refuses what is published (`bus.stream_full` at its senders) and keeps all it has. It stays so
   * when this process dies, until it is opened by anybody or the streams of the deployment are made anew.
   * @throws AppError `bus.*`
   */
  setOpen(stream: string, isOpen: boolean): Promise<void>;
}

const ANSWER_TIMEOUT_MS = 5_000;
/** What a closed stream may hold: less than any message takes. */
const CLOSED_BYTES = 1;
/** Where the limit of the open stream is kept meanwhile. */
const OPEN_BYTES_KEY = "myelin-open-max-bytes";

/** Doors on the bus's connection. Does no I/O by itself. */
export function createStreamDoor(bus: Bus): StreamDoor {
  const nats = natsBusOf(bus);
  const manager = async () =>
    (await jetstreamManager(nats.client, { checkAPI: false, timeout: ANSWER_TIMEOUT_MS })).streams;
  return {
    async room(stream) {
      try {
        return roomOf(await (await manager()).info(stream));
      } catch (thrown) {
        throw busError(thrown, `cannot look at ${stream}`);
      }
    },
    async setOpen(stream, isOpen) {
      try {
        const streams = await manager();
        const { config } = await streams.info(stream);
        const wasOpen = config.max_bytes !== CLOSED_BYTES;
        if (wasOpen === isOpen) return;
        const { [OPEN_BYTES_KEY]: kept, ...metadata } = config.metadata ?? {};
        if (isOpen) await streams.update(stream, { max_bytes: Number(kept ?? -1), metadata });
        else {
          await streams.update(stream, {
            max_bytes: CLOSED_BYTES,
            metadata: { ...metadata, [OPEN_BYTES_KEY]: String(config.max_bytes) },
          });
        }
      } catch (thrown) {
        throw busError(thrown, `cannot ${isOpen ? "open" : "close"} ${stream}`);
      }
    },
  };
}

function roomOf({ config, state }: StreamInfo): StreamRoom {
  const isOpen = config.max_bytes !== CLOSED_BYTES;
  const maxBytes = isOpen ? config.max_bytes : Number(config.metadata?.[OPEN_BYTES_KEY] ?? -1);
  return { bytes: state.bytes, messages: state.messages, maxBytes, isOpen };
}
