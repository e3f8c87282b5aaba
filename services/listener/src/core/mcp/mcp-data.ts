/** Data messages of a device: into their lane, in place where nothing about them is rare. */
import {
  type Channel,
  checkExtras,
  type EnvelopeExtras,
  envelopeIdOf,
  type McpMessageView,
  Quality,
} from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Identity } from "../admission.js";
import type { LaneIndex } from "../channel-table.js";
import { expiryUs } from "../expiry.js";
import { kindOf } from "../ingress.js";
import { McpChild } from "./mcp-child.js";
import type { McpConnection } from "./mcp-connection.js";

const LANE_TELEMETRY = 1;
const MAX_CHILDREN = 10_000;
const MAX_ID_BYTES = 256;

/** Filled anew for each message that needs it; senders read it during the call. */
class Extras {
  id: Uint8Array | undefined;
  senderId: boolean | undefined;
  sourceTimeUs: number | undefined;
  deviceSequence: number | undefined;
  expiresAtUs: number | undefined;
  traceparent: string | undefined;
  tracestate: string | undefined;
  replayed: boolean | undefined;
  quality: Quality | undefined;
  responsePath: string | undefined;
  correlation: Uint8Array | undefined;
  versionVector: EnvelopeExtras["versionVector"];
}

const EXTRAS = new Extras();
const QUALITY = { good: Quality.GOOD, uncertain: Quality.UNCERTAIN, bad: Quality.BAD } as const;

/** Takes one message. What is wrong with it alone is told to the device, and the connection goes on. */
export function onDataMessage(c: McpConnection, view: McpMessageView): void {
  // What names no lane is an event: the safer of the two.
  const lane: LaneIndex = view.laneNumber === LANE_TELEMETRY ? 0 : 1;
  const { ingress } = c.shared.ctx;
  if (view.idEnd - view.idStart > MAX_ID_BYTES) {
    refuse(c, view, lane, new AppError("protocol.malformed", `an id takes at most ${MAX_ID_BYTES} bytes`));
    return;
  }
  let { identity } = c;
  let channel: Channel | undefined;
  let payload = view.bytes;
  let from = view.payloadStart;
  let to = view.payloadEnd;
  let extras: Extras | undefined;
  try {
    if (view.rare) {
      const answer = takeRare(c, view);
      if (answer !== undefined) {
        channel = named(c, c.identity, lane, answer.path, "application/json");
        payload = answer.payload;
        from = 0;
        to = payload.length;
      }
      extras = EXTRAS;
    } else if (
      view.sequence > 0 ||
      view.sourceTimeUs > 0 ||
      view.ttlMs > 0 ||
      view.traceparentEnd > 0 ||
      (lane === 1 && view.idEnd > view.idStart)
    ) {
      extras = clear(EXTRAS);
    }
    if (channel === undefined) {
      const speaker = view.deviceIdEnd > view.deviceIdStart ? speakerOf(c, view) : c;
      ({ identity } = speaker);
      const isTyped = view.contentTypeEnd > view.contentTypeStart;
      if (speaker !== c || !isTyped) {
        channel = ingress.channelFor(speaker, lane, view.bytes, view.typeStart, view.typeEnd);
      }
      // The plain channel of a child has answered for the right to speak for it.
      if (isTyped && (speaker === c || channel !== undefined))
        channel = named(c, identity, lane, pathOf(c, view), view.contentType);
    }
    if (channel === undefined) throw refusal(c, view, identity);
    if (extras !== undefined) fill(c, extras, view, lane, identity);
  } catch (thrown) {
    const error = AppError.from(thrown);
    if (error.family === "ours") throw error;
    refuse(c, view, lane, error);
    return;
  }
  if (lane === 0) {
    if (extras === undefined) ingress.telemetry(channel, payload, from, to);
    else ingress.telemetryWith(channel, payload, from, to, extras);
    return;
  }
  const ordinal = c.openPending().add(view.sequence, view.bytes, view.idStart, view.idEnd);
  ingress.event(channel, payload, from, to, c, ordinal, extras);
}

function refuse(c: McpConnection, view: McpMessageView, lane: LaneIndex, error: AppError): void {
  const { ingress } = c.shared.ctx;
  ingress.refuse(lane, error.code);
  if (error.code.startsWith("protocol.") || error.code.startsWith("contract.")) {
    c.shared.malformed(error.code.slice(error.code.indexOf(".") + 1));
  }
  if (lane === 0) return;
  const id = view.idEnd - view.idStart > MAX_ID_BYTES ? "" : view.id;
  c.openPending().refusedAtOnce(id === "" ? view.sequence : 0);
  c.sendError(error, id);
}

function refusal(c: McpConnection, view: McpMessageView, { deviceId }: Identity): AppError {
  const code = c.shared.ctx.ingress.refusal;
  if (code === "protocol.malformed")
    return new AppError(code, "the type is empty, no UTF-8, or holds NUL, + or #");
  const self = c.identity.deviceId;
  const who = deviceId === self ? self : `${self}, for ${deviceId},`;
  return new AppError(
    code,
    `${who} may not publish to ${view.type} ${code === "limit.rate" ? "now" : ""}`.trimEnd(),
  );
}

/** @throws AppError `protocol.malformed` */
function pathOf(c: McpConnection, view: McpMessageView): string {
  if (c.checkPath(view.bytes, view.typeStart, view.typeEnd) === undefined) return view.type;
  throw new AppError("protocol.malformed", "the type is empty, no UTF-8, or holds NUL, + or #");
}

function named(
  c: McpConnection,
  identity: Identity,
  lane: LaneIndex,
  path: string,
  contentType: string,
): Channel {
  const { protocol, port } = c;
  const kind = kindOf(path, lane);
  return c.shared.ctx.ingress.channelOf({ identity, path, kind, protocol, port, contentType }, c);
}

/**
 * The device a message names: the session's own, or one that this one may speak for.
 * @throws AppError `protocol.malformed`
 */
function speakerOf(c: McpConnection, view: McpMessageView): McpConnection | McpChild {
  const { deviceId } = view;
  if (deviceId === c.identity.deviceId) return c;
  c.children ??= new Map();
  const known = c.children.get(deviceId);
  if (known !== undefined) return known;
  if (Buffer.byteLength(deviceId) > MAX_ID_BYTES || /[\p{Cc}+#/]/u.test(deviceId)) {
    throw new AppError(
      "protocol.malformed",
      "a device id is 1 to 256 bytes without control characters, +, # and /",
    );
  }
  if (c.children.size >= MAX_CHILDREN) c.children.clear();
  const child = new McpChild(c, { ...c.identity, deviceId });
  c.children.set(deviceId, child);
  return child;
}

function clear(e: Extras): Extras {
  e.tracestate = e.responsePath = e.correlation = e.versionVector = undefined;
  e.replayed = e.quality = undefined;
  return e;
}

/** Fields that only `toMessage` knows; the answer to a command becomes a message of its own form. */
function takeRare(c: McpConnection, view: McpMessageView): { path: string; payload: Buffer } | undefined {
  const m = view.toMessage();
  const e = EXTRAS;
  e.tracestate = m.tracestate || undefined;
  e.responsePath = m.responsePath || undefined;
  e.correlation = m.correlation.length > 0 ? m.correlation : undefined;
  e.replayed = m.replayed || undefined;
  e.quality = m.quality === undefined ? undefined : QUALITY[m.quality];
  e.versionVector = m.versionVector.length > 0 ? m.versionVector : undefined;
  checkExtras(e);
  if (m.result === undefined) return undefined;
  const { commandId, readback, ...rest } = m.result;
  e.correlation ??= Buffer.from(commandId);
  const path =
    m.type === ""
      ? `devices/${c.identity.deviceId}/commands/${pathLevel(commandId)}/response`
      : pathOf(c, view);
  const body = {
    commandId,
    ...rest,
    readback: readback.length > 0 ? Buffer.from(readback).toString("base64") : undefined,
  };
  return { path, payload: m.payload.length > 0 ? m.payload : Buffer.from(JSON.stringify(body)) };
}

function pathLevel(text: string): string {
  return text.replaceAll(/[\p{Cc}+#/]/gu, "_") || "_";
}

function fill(c: McpConnection, e: Extras, view: McpMessageView, lane: LaneIndex, identity: Identity): void {
  const { clock } = c.shared.ctx;
  e.sourceTimeUs = view.sourceTimeUs || undefined;
  e.deviceSequence = view.sequence || undefined;
  e.expiresAtUs = view.ttlMs > 0 ? expiryUs(view.sourceTimeUs || clock.wallUs(), view.ttlMs) : undefined;
  e.traceparent = view.traceparentEnd > 0 ? view.traceparent : undefined;
  const hasId = lane === 1 && view.idEnd > view.idStart;
  const id = hasId ? view.bytes.subarray(view.idStart, view.idEnd) : undefined;
  e.id = id && envelopeIdOf(identity.tenant, identity.deviceId, id);
  e.senderId = hasId || undefined;
}
