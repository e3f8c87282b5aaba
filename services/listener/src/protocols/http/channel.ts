/** The channel of one request's readings. */
import { type Channel, Protocol } from "@myelin/contract";
import type { Identity } from "../../core/admission.js";
import type { LaneIndex } from "../../core/channel-table.js";
import { kindOf } from "../../core/ingress.js";
import type { ProtocolContext } from "../../core/protocol.js";
import type { HttpConnection } from "./http-connection.js";

/** What names it, beside the port. */
export interface ReadingsKey {
  readonly identity: Identity;
  readonly lane: LaneIndex;
  readonly path: string;
  readonly contentType: string;
}

/**
 * Most devices post to one path: the last one is found by comparison instead of a look-up by all that names a channel.
 * @throws AppError `auth.not_authorized`, `queue.closed`
 */
export function channelOf(ctx: ProtocolContext, connection: HttpConnection, key: ReadingsKey): Channel {
  const { identity, lane, path, contentType } = key;
  const { generation } = ctx.admission;
  const last = connection.lastChannel;
  if (
    last !== undefined &&
    last.generation === generation &&
    last.identity === identity &&
    last.lane === lane &&
    last.path === path &&
    last.contentType === contentType
  ) {
    return last.channel;
  }
  const kind = kindOf(path, lane);
  const { port } = ctx;
  const named = { identity, path, kind, protocol: Protocol.HTTP, port, contentType };
  const channel = ctx.ingress.channelOf(named, connection);
  connection.lastChannel = { generation, identity, path, lane, contentType, channel };
  return channel;
}
