/** A shadow over HTTP as it changes: server-sent events for as long as the request lasts. */
import { type ShadowName, shadowJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { EventStream } from "../event-stream.js";
import { problemOf } from "../problem.js";

/** A reader that is slower gets the newest when it has read what waits for it. */
const MAX_BUFFER_BYTES = 256 * 1024;

/** An event `shadow` with the document as it is, and one with the newest after changes; `gone` when there is none. */
export async function followShadow(
  { shadows, clock, log }: ProtocolContext,
  which: ShadowName,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const stream = EventStream.open(reply, clock);
  if (stream === undefined) return reply;
  try {
    for await (const view of shadows.watch(which, stream.signal)) {
      const event = view.isGone ? "gone" : "shadow";
      stream.write({ event, id: view.version, data: JSON.stringify(shadowJson(view)) });
      if (stream.waitingBytes > MAX_BUFFER_BYTES) await stream.drained();
    }
  } catch (thrown) {
    const error = AppError.from(thrown);
    log.debug({ err: error, device: which.device }, "a shadow cannot be followed");
    stream.write({ event: "error", data: problemOf(error).body });
    stream.end();
  }
  return reply;
}
