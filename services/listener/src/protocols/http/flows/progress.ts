/** A run as server-sent events. */
import { type FlowRun, flowRunJson } from "@myelin/bus";
import type { ProtocolContext } from "../../../core/protocol.js";
import type { EventStream } from "../event-stream.js";

const LOOK_MS = 10_000;

/** Writes an event `run` as it stands, and again whenever something has happened to it. Resolves when it has ended. */
export async function streamRun(
  { flows, log }: ProtocolContext,
  begin: FlowRun,
  stream: EventStream,
): Promise<void> {
  const write = (run: FlowRun): void =>
    stream.write({ event: "run", id: run.revision, data: JSON.stringify(flowRunJson(run)) });
  let now = begin;
  write(now);
  try {
    while (!now.isOver) {
      const { revision } = now;
      now = await flows.next(now.tenant, now.id, revision, LOOK_MS, stream.signal);
      if (now.revision > revision) write(now);
    }
  } catch (thrown) {
    // The client asks again, and begins with how it stands.
    if (!stream.signal.aborted) log.debug({ err: thrown }, "a run of a flow cannot be told");
  }
  stream.end();
}
