/** Commands a device, and goes on when the command has ended. */
import type { DeviceCommand } from "@myelin/bus";
import { expectText, type Outcome } from "@myelin/flows";
import { AppError } from "@myelin/kernel";
import {
  failed,
  type StepAction,
  type StepAttempt,
  type StepPlugin,
  type StepTools,
  unknown,
} from "../step.js";

const RETRY_MS = 250;
const ASK_MS = 2_000;

class CommandStep implements StepAction {
  constructor(private readonly tools: StepTools) {}

  /** The idempotency key makes of it one command. */
  repeats(): boolean {
    return true;
  }

  async perform(spec: Readonly<Record<string, unknown>>, attempt: StepAttempt): Promise<Outcome> {
    const { key, tenant, flow, signal } = attempt;
    const author = { kind: "flow", name: flow, roles: [] } as const;
    const wish = {
      tenant,
      device: expectText(spec.device, "the device", 256),
      name: expectText(spec.name, "the name of the command", 128),
      parameters: spec.parameters as Record<string, unknown>,
      ttlMs: spec.ttl as number,
      idempotencyKey: key,
      author,
    };
    let command = await this.#submit(wish, signal);
    if (command === undefined) return unknown("nobody has answered whether the command was accepted");
    while (!command.isTerminal) {
      if (signal.aborted) return await this.#cancel(command, author);
      command = await this.#further(command);
    }
    return outcomeOf(command);
  }

  /** Until it is known: what was accepted has an end. Undefined: nobody knows. */
  async #submit(
    wish: Parameters<StepTools["commands"]["submit"]>[0],
    signal: AbortSignal,
  ): Promise<DeviceCommand | undefined> {
    const { clock, commands } = this.tools;
    for (let isSent = false; ; ) {
      try {
        return await commands.submit(wish);
      } catch (thrown) {
        const error = AppError.from(thrown);
        isSent ||= error.code !== "queue.full" && error.code !== "limit.rate";
        if (error.family === "caller" || !error.retryable) throw error;
        if (signal.aborted) {
          if (isSent) return undefined;
          throw error;
        }
      }
      await clock.sleep(RETRY_MS);
    }
  }

  async #further(command: DeviceCommand): Promise<DeviceCommand> {
    const { clock, commands } = this.tools;
    try {
      return await commands.reached(command, "verified", ASK_MS);
    } catch (thrown) {
      const error = AppError.from(thrown);
      if (error.family === "caller") throw error;
      await clock.sleep(RETRY_MS);
      return command;
    }
  }

  /** What has not reached the device is called off; of the rest the end is not awaited any more. */
  async #cancel(
    command: DeviceCommand,
    author: Parameters<StepTools["commands"]["cancel"]>[2],
  ): Promise<Outcome> {
    const { commands } = this.tools;
    try {
      return outcomeOf(await commands.cancel(command.tenant, command.id, author));
    } catch {
      // It has ended meanwhile, or may have reached its device.
    }
    try {
      const now = await commands.get(command.tenant, command.id);
      if (now.isTerminal) return outcomeOf(now);
    } catch {
      // Nobody answers: nobody knows.
    }
    return unknown(`the command ${command.id} was under way when the time was over`);
  }
}

function outcomeOf({ id, state, steps }: DeviceCommand): Outcome {
  const { cause = "", message = "" } = steps.at(-1) ?? {};
  if (state === "executed" || state === "verified") return { kind: "succeeded", result: { id, state } };
  const text = `the command ${id} ended ${state}${cause === "" ? "" : ` (${cause})`}: ${message}`;
  // What the device has done otherwise than it was told is undone like what it did.
  if (state === "mismatch" || cause === "outcome_unknown") return unknown(text);
  return failed(new AppError("flow.step_failed", text));
}

export const plugin: StepPlugin = { kind: "command", create: (tools) => new CommandStep(tools) };
