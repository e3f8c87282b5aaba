/** The steps of a command as server-sent events. */
import { commandStepJson, type DeviceCommand } from "@myelin/bus";
import type { ProtocolContext } from "../../../core/protocol.js";
import type { EventStream } from "../event-stream.js";

const LOOK_MS = 10_000;

/** Writes an event `step` for each one, the first ones included, and ends with the last one. Resolves when it has ended. */
export async function streamSteps(
  { commands, log }: ProtocolContext,
  begin: DeviceCommand,
  stream: EventStream,
): Promise<void> {
  const write = ({ steps }: DeviceCommand, from: number): void => {
    for (const [i, step] of steps.entries())
      if (i >= from) stream.write({ event: "step", id: i + 1, data: JSON.stringify(commandStepJson(step)) });
  };
  let now = begin;
  write(now, 0);
  try {
    while (!now.isTerminal) {
      const told = now.steps.length;
      now = await commands.next(now.tenant, now.id, told, LOOK_MS, stream.signal);
      write(now, told);
    }
  } catch (thrown) {
    // The client asks again, and begins with the first step.
    if (!stream.signal.aborted) log.debug({ err: thrown }, "the steps of a command cannot be told");
  }
  stream.end();
}
