/** A run as server-sent events. */
import type { ServerResponse } from "node:http";
import { type FlowRun, flowRunJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";

const LOOK_MS = 10_000;

/** Writes an event `run` as it stands, and again whenever something has happened to it. Resolves when it has ended. */
export async function streamRun(
  { flows, log }: ProtocolContext,
  begin: FlowRun,
  request: FastifyRequest,
  out: ServerResponse,
): Promise<void> {
  if (request.raw.socket.destroyed) return;
  const left = new AbortController();
  out.once("close", () => left.abort(new AppError("operation.aborted", "the client has gone")));
  out.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const write = (run: FlowRun): void => {
    out.write(`id: ${run.revision}\nevent: run\ndata: ${JSON.stringify(flowRunJson(run))}\n\n`);
  };
  let now = begin;
  write(now);
  try {
    while (!now.isOver) {
      const { revision } = now;
      now = await flows.next(now.tenant, now.id, revision, LOOK_MS, left.signal);
      if (now.revision > revision) write(now);
      else out.write(": alive\n\n");
    }
  } catch (thrown) {
    // The client asks again, and begins with how it stands.
    if (!left.signal.aborted) log.debug({ err: thrown }, "a run of a flow cannot be told");
  }
  out.end();
}
