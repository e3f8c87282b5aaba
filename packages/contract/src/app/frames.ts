/** Frames of the app stream: generated code for the rare ones, byte ranges for the two that carry envelopes. */
import { AppError, type ErrorDetails } from "@myelin/kernel";
import { type AppError as AppErrorMessage, AppFrame } from "../generated/myelin/app/v1/app.js";
import { strictDecode } from "../wire/strict-decode.js";

/** Spoken by bridge and SDKs; a hello with another one is refused. */
export const APP_PROTOCOL_VERSION = 1;

/** Tag of `AppFrame.deliver` (3), a batch that is passed on as bytes. */
export const TAG_FRAME_DELIVER = 0x1a;
/** Tag of `AppFrame.publish` (6), which is taken apart as bytes. */
export const TAG_FRAME_PUBLISH = 0x32;

/** Puts `body` into a frame of one length-delimited field; the one copy of a delivered batch. */
export function wrapFrame(tag: number, body: Uint8Array): Buffer {
  const length = body.length;
  const header =
    length < 0x80 ? 2 : length < 0x4000 ? 3 : length < 0x200000 ? 4 : length < 0x10000000 ? 5 : 6;
  const out = Buffer.allocUnsafeSlow(header + length);
  out[0] = tag;
  let at = 1;
  let rest = length;
  while (rest > 0x7f) {
    out[at++] = (rest & 0x7f) | 0x80;
    rest >>>= 7;
  }
  out[at] = rest;
  out.set(body, header);
  return out;
}

/**
 * The body of a frame that consists of exactly one field with this tag, as a view into `frame`. Undefined for every
 * other frame, also for one that a decoder would accept after merging fields: those take the way of the generated code.
 */
export function frameBody(frame: Buffer, tag: number): Buffer | undefined {
  if (frame.length < 2 || frame[0] !== tag) return undefined;
  let at = 1;
  let length = 0;
  let scale = 1;
  let byte: number;
  do {
    if (at >= frame.length || at > 5) return undefined;
    byte = frame[at++]!;
    length += (byte & 0x7f) * scale;
    scale *= 128;
  } while (byte > 0x7f);
  return at + length === frame.length ? frame.subarray(at) : undefined;
}

/** Encodes one frame. Allocates objects: not for `deliver`. */
export function encodeAppFrame(frame: NonNullable<AppFrame["frame"]>): Uint8Array {
  return AppFrame.encode({ frame }).finish();
}

/** @throws AppError `contract.bad_frame` for bytes that are no frame, and for a frame without content */
export function decodeAppFrame(bytes: Uint8Array): NonNullable<AppFrame["frame"]> {
  let frame: AppFrame["frame"];
  try {
    frame = strictDecode(AppFrame, bytes).frame;
  } catch (cause) {
    throw new AppError("contract.bad_frame", `${bytes.length} bytes are not an app frame`, { cause });
  }
  if (frame === undefined) {
    throw new AppError("contract.bad_frame", `an app frame of ${bytes.length} bytes has no known content`);
  }
  return frame;
}

/** An error as the app stream and the control messages carry it: without stack and cause. */
export function toAppErrorMessage(error: AppError): AppErrorMessage {
  const { code, message, retryable, details } = error.toWire();
  return { code, message, retryable, detailsJson: details === undefined ? "" : toJson(details) };
}

/** The error that the other side reported; broken details are left out. */
export function fromAppErrorMessage(message: AppErrorMessage): AppError {
  const { code, message: text, retryable, detailsJson } = message;
  return AppError.fromWire({ code, message: text, retryable, details: fromJson(detailsJson) });
}

function toJson(details: ErrorDetails): string {
  try {
    return JSON.stringify(details);
  } catch {
    // Details with cycles or bigints are a defect of who made them; the error itself must still travel.
    return "";
  }
}

function fromJson(json: string): unknown {
  if (json === "") return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}
