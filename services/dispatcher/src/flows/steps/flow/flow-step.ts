/** Starts another flow, and goes on when that has ended. */
import type { FlowRun } from "@myelin/bus";
import { expectText, type Outcome, type Values } from "@myelin/flows";
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
/** Flows that start each other end here. */
const MAX_DEPTH = 8;

class FlowStep implements StepAction {
  constructor(private readonly tools: StepTools) {}

  /** The idempotency key makes of it one run. */
  repeats(): boolean {
    return true;
  }

  async perform(spec: Values, attempt: StepAttempt): Promise<Outcome> {
    const { key, tenant, flow, depth, signal } = attempt;
    const name = expectText(spec.name, "the name of the flow", 253);
    if (depth + 1 >= MAX_DEPTH)
      throw new AppError(
        "flow.invalid",
        `${MAX_DEPTH} flows have started each other: ${name} is not started`,
      );
    const author = { kind: "flow", name: flow } as const;
    const input = spec.input as Record<string, unknown>;
    const wish = { tenant, flow: name, input, idempotencyKey: key, author, depth: depth + 1 };
    let run = await this.#asked(() => this.tools.flows.start(wish), signal);
    let isCancelled = false;
    while (run !== undefined && !run.isOver) {
      if (signal.aborted && !isCancelled) {
        isCancelled = true;
        const { id } = run;
        await this.tools.flows.cancel(tenant, id, author).catch(() => undefined);
      }
      const { id, revision } = run;
      const next = await this.#asked(() => this.tools.flows.next(tenant, id, revision, ASK_MS), signal);
      if (isCancelled && (next === undefined || !next.isOver))
        return unknown(`the run ${id} of ${name} was cancelled and undoes what it did`);
      run = next;
    }
    return run === undefined ? unknown(`nobody has answered what became of ${name}`) : outcomeOf(run);
  }

  async #asked(ask: () => Promise<FlowRun>, signal: AbortSignal): Promise<FlowRun | undefined> {
    for (;;) {
      try {
        return await ask();
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (error.family === "caller" || !error.retryable) throw error;
        if (signal.aborted) return undefined;
      }
      await this.tools.clock.sleep(RETRY_MS);
    }
  }
}

function outcomeOf({ id, flow, status, outputs, failure }: FlowRun): Outcome {
  if (status === "succeeded") return { kind: "succeeded", result: { run: id, ...outputs } };
  // What it did is undone by itself.
  const why = failure === undefined ? "" : `: ${failure.message}`;
  return failed(new AppError("flow.step_failed", `the run ${id} of ${flow} ended ${status}${why}`));
}

export const plugin: StepPlugin = { kind: "flow", create: (tools) => new FlowStep(tools) };
