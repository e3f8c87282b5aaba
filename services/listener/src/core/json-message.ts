/** Messages that devices write as JSON, over WebSocket and UDP: read in place, the payload is not decoded. */
import { isUtf8 } from "node:buffer";
import { AppError } from "@myelin/kernel";
import type { LaneIndex } from "./channel-table.js";
import { forEachField } from "./json-scan.js";

const MAX_TEXT_BYTES = 65_535;

/** One message; read again and again into the same object. Fields that were not given are empty. */
export class JsonMessage {
  device = "";
  path = "";
  /** What an answer names; a number becomes its digits. */
  id = "";
  lane: LaneIndex = 1;
  /** The payload is `[payloadStart, payloadEnd)` of what was read; both 0 without one. */
  payloadStart = 0;
  payloadEnd = 0;
  subscribe = "";
  unsubscribe = "";
  /** Id of a message from the server that the device has taken. */
  ack = "";
  private bytes: Buffer = Buffer.alloc(0);

  /** @throws AppError `contract.bad_payload` when the bytes are no object of known fields */
  read(bytes: Buffer): void {
    this.device = this.path = this.id = this.subscribe = this.unsubscribe = this.ack = "";
    this.lane = 1;
    this.payloadStart = this.payloadEnd = 0;
    this.bytes = bytes;
    if (!isUtf8(bytes)) throw new AppError("contract.bad_payload", "the message is not UTF-8");
    if (!forEachField(bytes, 0, bytes.length, this.field)) {
      throw new AppError("contract.bad_payload", "the message is no JSON object");
    }
  }

  private readonly field = (keyFrom: number, keyTo: number, from: number, to: number): void => {
    const key = this.bytes.toString("latin1", keyFrom, keyTo);
    switch (key) {
      case "payload":
        this.payloadStart = from;
        this.payloadEnd = to;
        return;
      case "lane": {
        const lane = this.text(key, from, to);
        if (lane !== "telemetry" && lane !== "event") {
          throw new AppError("contract.bad_payload", "lane takes event or telemetry");
        }
        this.lane = lane === "telemetry" ? 0 : 1;
        return;
      }
      case "id":
      case "ack":
        this[key] = this.text(key, from, to, true);
        return;
      case "device":
      case "path":
      case "subscribe":
      case "unsubscribe":
        this[key] = this.text(key, from, to);
        return;
      default:
        // A misspelt field would change what the message means without a word.
        throw new AppError("contract.bad_payload", `there is no field ${key.slice(0, 64)}`);
    }
  };

  private text(key: string, from: number, to: number, orNumber = false): string {
    if (to - from <= MAX_TEXT_BYTES) {
      const value: unknown = JSON.parse(this.bytes.toString("utf8", from, to));
      if (typeof value === "string") return value;
      if (orNumber && typeof value === "number") return String(value);
    }
    throw new AppError("contract.bad_payload", `${key} takes ${orNumber ? "text or a number" : "text"}`);
  }
}
