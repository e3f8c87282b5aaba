/** The steps of a command as server-sent events. */
import type { ServerResponse } from "node:http";
import { commandStepJson, type DeviceCommand } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";
import type { ProtocolContext } from "../../../core/protocol.js";

const LOOK_MS = 10_000;

/** Writes an event `step` for each one, the first ones included, and ends with the last one. Resolves when it has ended. */
export async function streamSteps(
  { commands, clock, log }: ProtocolContext,
  begin: DeviceCommand,
  request: FastifyRequest,
  out: ServerResponse,
): Promise<void> {
  if (request.raw.socket.destroyed) return;
  const left = new AbortController();
  out.once("close", () => left.abort(new AppError("operation.aborted", "the client has gone")));
  out.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const write = ({ steps }: DeviceCommand, from: number): void => {
    for (const [i, step] of steps.entries())
      if (i >= from)
        out.write(`id: ${i + 1}\nevent: step\ndata: ${JSON.stringify(commandStepJson(step))}\n\n`);
  };
  let now = begin;
  write(now, 0);
  try {
    while (!now.isTerminal) {
      const told = now.steps.length;
      now = await commands.next(now.tenant, now.id, told, LOOK_MS, left.signal);
      if (now.steps.length > told) write(now, told);
      else out.write(": alive\n\n");
    }
  } catch (thrown) {
    // The client asks again, and begins with the first step.
    if (!left.signal.aborted)
      log.debug({ err: thrown, nowMs: clock.nowMs() }, "the steps of a command cannot be told");
  }
  out.end();
}
