/** Serves messages for devices that are connected here. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { app, control, subjects } from "@myelin/contract";
import { AppError, type Component } from "@myelin/kernel";
import type { LedgerBook } from "./ledger.js";
import type { Sessions } from "./session.js";

const DEFAULT_TIMEOUT_MS = 5_000;
const MAX_TIMEOUT_MS = 60_000;

export class DownlinkServer implements Component {
  readonly name = "downlink";
  private end: Unsubscribe | undefined;

  /** @param maxWaiting requests that may wait for devices at the same time; more are refused with `queue.full` */
  constructor(
    private readonly bus: Bus,
    private readonly sessions: Sessions,
    private readonly book: LedgerBook,
    private readonly maxWaiting: number,
  ) {}

  async start(): Promise<void> {
    this.end = this.bus.serve(subjects.listenerDownlink(this.bus.instance), (data) => this.answer(data));
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
  }

  /** Encoded DownlinkResult. Never rejects: what went wrong is in the result. */
  private async answer(data: Uint8Array): Promise<Uint8Array> {
    this.book.received += 1;
    try {
      if (this.book.queued >= this.maxWaiting) {
        throw new AppError("queue.full", `${this.maxWaiting} messages wait for devices already`);
      }
      this.book.queued += 1;
      try {
        const state = await this.deliver(data);
        this.book.forwarded += 1;
        return control.DownlinkResult.encode({ state, error: undefined }).finish();
      } finally {
        this.book.queued -= 1;
      }
    } catch (thrown) {
      const { code, message, retryable, details } = AppError.from(thrown).toWire();
      this.book.drop(code);
      const error = {
        code,
        message,
        retryable,
        detailsJson: details === undefined ? "" : JSON.stringify(details),
      };
      return control.DownlinkResult.encode({ state: app.SendState.REFUSED, error }).finish();
    }
  }

  private async deliver(data: Uint8Array): Promise<app.SendState> {
    const request = decode(data);
    const { tenant, deviceId, connectionEpoch } = request;
    const session = this.sessions.get(tenant, deviceId);
    if (session === undefined || (connectionEpoch !== 0 && session.number < connectionEpoch)) {
      throw new AppError(
        "device.not_connected",
        `device ${deviceId} is not connected to ${this.bus.instance}`,
      );
    }
    const state = await session.downlink({
      path: request.path,
      payload: request.payload,
      contentType: request.contentType,
      waitForDevice: request.waitForDevice,
      timeoutMs: Math.min(MAX_TIMEOUT_MS, request.timeoutMs || DEFAULT_TIMEOUT_MS),
    });
    return state === "acknowledged" ? app.SendState.ACKNOWLEDGED : app.SendState.WRITTEN;
  }
}

function decode(data: Uint8Array): control.DownlinkRequest {
  try {
    return control.DownlinkRequest.decode(data);
  } catch (cause) {
    throw new AppError("contract.bad_frame", "the request is not a DownlinkRequest", { cause });
  }
}
