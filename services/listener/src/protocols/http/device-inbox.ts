/** Devices that fetch their messages over HTTP: reachable while a request waits, and shortly after for the next one. */
import { Protocol } from "@myelin/contract";
import { AppError, type Timer } from "@myelin/kernel";
import type { Identity } from "../../core/admission.js";
import type { ProtocolContext } from "../../core/protocol.js";
import type { DeviceSession, Downlink, DownlinkState } from "../../core/session.js";

/** Between two requests of a device that polls. */
const LINGER_MS = 5_000;

interface Waiting {
  readonly message: Downlink;
  readonly timer: Timer;
  readonly resolve: (state: DownlinkState) => void;
  readonly reject: (error: AppError) => void;
}

/** One request that fetches. */
export interface InboxReader {
  /** True for a stream: it is there until it is closed, and requests that only ask now and then do not push it aside. */
  readonly stays: boolean;
  /** Messages as they come; false: could not be written. */
  take(messages: readonly Downlink[]): boolean;
  /** It gets nothing any more. @param error what its client is told; absent: nothing is wrong */
  end(error?: AppError): void;
}

/** One device on one port. Holds a bounded number of messages for the reader that is there or comes. */
export class DeviceInbox implements DeviceSession {
  openedAtUs = 0;
  private readonly waiting: Waiting[] = [];
  private reader: InboxReader | undefined;
  private lingering: Timer | undefined;
  private over = false;

  constructor(
    private readonly ctx: ProtocolContext,
    readonly identity: Identity,
    readonly number: number,
    readonly address: string,
    private readonly maxWaiting: number,
    private readonly onEnd: () => void,
  ) {
    this.linger();
    ctx.sessions.open(this);
  }

  get protocol(): Protocol {
    return Protocol.HTTP;
  }

  downlink(message: Downlink): Promise<DownlinkState> {
    return new Promise((resolve, reject) => {
      if (this.over) {
        reject(new AppError("device.not_connected", `${this.identity.deviceId} has just disconnected`));
        return;
      }
      if (this.waiting.length >= this.maxWaiting) {
        reject(new AppError("queue.full", `${this.maxWaiting} messages wait for ${this.identity.deviceId}`));
        return;
      }
      const timer = this.ctx.clock.setTimeout(() => {
        this.waiting.splice(this.waiting.indexOf(entry), 1);
        reject(
          new AppError("request.timeout", `${this.identity.deviceId} did not fetch the message in time`),
        );
      }, message.timeoutMs);
      const entry: Waiting = { message, timer, resolve, reject };
      this.waiting.push(entry);
      this.give();
    });
  }

  /**
   * What waits is given at once. An older reader of the device is ended.
   * @throws AppError `device.connected` when that is a stream and this is none
   */
  read(reader: InboxReader): void {
    const older = this.reader;
    if (older?.stays === true && !reader.stays) throw connected(this.identity.deviceId, "a stream");
    this.ctx.clock.clear(this.lingering);
    this.lingering = undefined;
    this.reader = reader;
    older?.end();
    this.give();
  }

  /** The reader's request is over; without another one the device is gone shortly. */
  leave(reader: InboxReader): void {
    if (this.reader !== reader) return;
    this.reader = undefined;
    if (!this.over) this.linger();
  }

  takenOver(): void {
    this.end("takeover", connected(this.identity.deviceId, "another connection"));
  }

  /** @param reason for presence; @param error for the client whose request waits */
  end(reason: string, error?: AppError): void {
    if (this.over) return;
    this.over = true;
    const { reader } = this;
    this.reader = undefined;
    this.ctx.clock.clear(this.lingering);
    this.ctx.sessions.close(this, reason);
    reader?.end(error);
    for (const { timer, reject } of this.waiting.splice(0)) {
      this.ctx.clock.clear(timer);
      reject(new AppError("device.not_connected", `${this.identity.deviceId} has disconnected`));
    }
    this.onEnd();
  }

  private linger(): void {
    this.lingering = this.ctx.clock.setTimeout(() => this.end("client"), LINGER_MS);
  }

  private give(): void {
    const { reader, waiting } = this;
    if (reader === undefined || waiting.length === 0) return;
    const entries = waiting.splice(0);
    const given = reader.take(entries.map(({ message }) => message));
    for (const { timer, resolve, reject } of entries) {
      this.ctx.clock.clear(timer);
      if (given) resolve("written");
      else
        reject(new AppError("limit.slow_client", `${this.identity.deviceId} takes its messages too slowly`));
    }
  }
}

/** Whoever wants to fetch messages that go elsewhere. */
export function connected(deviceId: string, how: string): AppError {
  return new AppError("device.connected", `${deviceId} is connected by ${how}, which gets its messages`);
}
