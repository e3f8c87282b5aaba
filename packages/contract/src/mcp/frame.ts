/** Whole MCP frames: magic, big-endian length, message. */
import { AppError } from "@myelin/kernel";
import * as wire from "../generated/myelin/mcp/v1/mcp.js";
import { MCP_DEFAULT_MAX_MESSAGE_BYTES, MCP_HEADER_BYTES, MCP_MAGIC_WORD } from "./layout.js";
import { type McpMessage, type McpMessageInit, toWireMessage } from "./message.js";
import { McpMessageView } from "./view.js";

/** `maxMessageBytes`: what a frame may announce, 1 MiB unless set; checked before anything is kept or allocated. */
export interface McpFrameLimits {
  readonly maxMessageBytes?: number | undefined;
}

/**
 * Encodes one frame; copies the payload.
 * @throws AppError `contract.bad_frame` for values that the wire cannot carry: a negative or fractional number, one above 2^53 - 1
 */
export function encodeMcpFrame(message: McpMessageInit): Buffer {
  let body: Uint8Array;
  try {
    body = wire.MCPMessage.encode(toWireMessage(message)).finish();
  } catch (cause) {
    throw new AppError("contract.bad_frame", "a value of the message does not fit the wire", { cause });
  }
  const frame = Buffer.allocUnsafe(MCP_HEADER_BYTES + body.length);
  frame.writeUInt32BE(MCP_MAGIC_WORD, 0);
  frame.writeUInt32BE(body.length, 4);
  frame.set(body, MCP_HEADER_BYTES);
  return frame;
}

/**
 * Points `view` at the frame that starts at `at` and returns the offset behind it: for datagrams and WebSocket messages, which
 * carry one or more whole frames. The view is valid as long as `bytes` is.
 * @throws AppError `contract.bad_frame`, `contract.frame_too_large`
 */
export function viewMcpFrame(
  view: McpMessageView,
  bytes: Buffer,
  at = 0,
  maxMessageBytes = MCP_DEFAULT_MAX_MESSAGE_BYTES,
): number {
  const start = at + MCP_HEADER_BYTES;
  if (start > bytes.length) throw badFrame(`${bytes.length - at} bytes are no frame`);
  if (bytes.readUInt32BE(at) !== MCP_MAGIC_WORD) throw badFrame("the magic is missing");
  const length = bytes.readUInt32BE(at + 4);
  if (length > maxMessageBytes) throw frameTooLarge(length, maxMessageBytes);
  if (length > bytes.length - start) {
    throw badFrame(`a frame announces ${length} bytes and has ${bytes.length - start}`);
  }
  view.read(bytes, start, start + length);
  return start + length;
}

/**
 * Decodes a datagram that holds exactly one frame. Keeps nothing of `bytes`.
 * @throws AppError `contract.bad_frame`, `contract.frame_too_large`
 */
export function decodeMcpDatagram(bytes: Uint8Array, limits: McpFrameLimits = {}): McpMessage {
  const buffer = Buffer.isBuffer(bytes)
    ? bytes
    : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const view = new McpMessageView();
  const end = viewMcpFrame(view, buffer, 0, limits.maxMessageBytes);
  if (end !== buffer.length) throw badFrame(`${buffer.length - end} bytes follow the frame`);
  return view.toMessage();
}

export function badFrame(what: string): AppError {
  return new AppError("contract.bad_frame", `not an MCP frame: ${what}`);
}

export function frameTooLarge(length: number, max: number): AppError {
  return new AppError("contract.frame_too_large", `a frame announces ${length} bytes, ${max} are accepted`, {
    details: { length, max },
  });
}
