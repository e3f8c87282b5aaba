/** Messages for an MCP device: written at once, kept until the device acknowledges them. */
import { randomBytes } from "node:crypto";
import {
  encodeMcpFrame,
  MCP_HEADER_BYTES,
  MCP_MAX_DATAGRAM_BYTES,
  type McpHardwareCommand,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Downlink, DownlinkState } from "../session.js";
import type { McpConnection } from "./mcp-connection.js";
import { MCP_STATE } from "./mcp-state.js";

/**
 * Resolves when the bytes were handed to the transport, or with `waitForDevice` when the device has acknowledged; the latter
 * may happen over a later connection of the same session.
 */
export async function deliverDownlink(c: McpConnection, message: Downlink): Promise<DownlinkState> {
  const { session } = c;
  if (c.state !== MCP_STATE.ready || session === undefined) {
    throw new AppError("device.not_connected", `${c.identity.deviceId} has just disconnected`);
  }
  const id = `${session.id.toString(36)}-${randomBytes(9).toString("base64url")}`;
  const frame = encodeMcpFrame({
    id,
    type: message.path,
    payload: message.payload,
    contentType: message.contentType,
    sequence: session.nextSequence,
    lane: "event",
    hardware: commandOf(c.identity.deviceId, message),
  });
  const length = frame.length - MCP_HEADER_BYTES;
  const max = c.shared.options.datagrams
    ? Math.min(c.maxFrameBytes, MCP_MAX_DATAGRAM_BYTES - MCP_HEADER_BYTES)
    : c.maxFrameBytes;
  if (length > max) {
    throw new AppError(
      "limit.frame_too_large",
      `${c.identity.deviceId} takes ${max} bytes, the message has ${length}`,
    );
  }
  if (!message.waitForDevice) {
    session.keep(id, frame, undefined);
    c.write(frame);
    c.shared.traffic.sentMessages += 1;
    return "written";
  }
  const { clock } = c.shared.ctx;
  return await new Promise((resolve, reject) => {
    const timer = clock.setTimeout(() => {
      session.forgetWaiter(id);
      reject(
        new AppError(
          "request.timeout",
          `${c.identity.deviceId} did not acknowledge within ${message.timeoutMs} ms`,
        ),
      );
    }, message.timeoutMs);
    try {
      session.keep(id, frame, (error) => {
        clock.clear(timer);
        if (error === undefined) resolve("acknowledged");
        else reject(error);
      });
    } catch (thrown) {
      clock.clear(timer);
      reject(AppError.from(thrown));
      return;
    }
    c.write(frame);
    c.shared.traffic.sentMessages += 1;
  });
}

const COMMAND = /^devices\/[^/]+\/commands\/([^/]+)$/;

/** A command's JSON object as the hardware command that small devices read; its payload goes beside it. */
function commandOf(deviceId: string, { path, payload }: Downlink): McpHardwareCommand | undefined {
  const command = COMMAND.exec(path)?.[1];
  if (command === undefined) return undefined;
  return { deviceId, command, params: paramsOf(payload) };
}

function paramsOf(payload: Uint8Array): Record<string, string> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"));
  } catch {
    // No JSON: the device has the payload itself.
    return {};
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) return {};
  return Object.fromEntries(
    Object.entries(value).map(([name, of]) => [name, typeof of === "string" ? of : JSON.stringify(of)]),
  );
}
