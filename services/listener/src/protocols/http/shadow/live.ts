/** A shadow over HTTP as it changes: server-sent events for as long as the request lasts. */
import { type ShadowName, shadowJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyReply } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";
import { problemOf } from "../problem.js";

const COMMENT_MS = 15_000;
/** A reader that is slower gets the newest when it has read what waits for it. */
const MAX_BUFFER_BYTES = 256 * 1024;

/** An event `shadow` with the document as it is, and one with the newest after changes; `gone` when there is none. */
export async function followShadow(
  { shadows, clock, log }: ProtocolContext,
  which: ShadowName,
  reply: FastifyReply,
): Promise<FastifyReply> {
  reply.hijack();
  const out = reply.raw;
  if (out.socket?.destroyed !== false) return reply;
  const ending = new AbortController();
  out.once("close", () => ending.abort());
  out.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  out.write(": open\n\n");
  const timer = clock.setInterval(() => out.write(": alive\n\n"), COMMENT_MS);
  try {
    for await (const view of shadows.watch(which, ending.signal)) {
      const name = view.isGone ? "gone" : "shadow";
      out.write(`event: ${name}\nid: ${view.version}\ndata: ${JSON.stringify(shadowJson(view))}\n\n`);
      if (out.writableLength > MAX_BUFFER_BYTES) await drained(out, ending.signal);
    }
  } catch (thrown) {
    const error = AppError.from(thrown);
    log.debug({ err: error, device: which.device }, "a shadow cannot be followed");
    out.end(`event: error\ndata: ${problemOf(error).body}\n\n`);
  } finally {
    clock.clear(timer);
  }
  return reply;
}

function drained(out: NodeJS.EventEmitter, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    out.once("drain", resolve);
    signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
