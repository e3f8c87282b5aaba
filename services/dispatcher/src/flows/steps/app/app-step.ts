/** Calls an application. */
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

/** Errors after which the application certainly has not got the call. */
const NOT_ASKED = new Set(["request.no_responder", "queue.full", "app.unhealthy", "bus.disconnected"]);

class AppStep implements StepAction {
  constructor(private readonly tools: StepTools) {}

  /** Applications know no keys. */
  repeats(): boolean {
    return false;
  }

  async perform(spec: Values, attempt: StepAttempt): Promise<Outcome> {
    const { clock, callApp } = this.tools;
    const app = expectText(spec.name, "the name of the application", 253);
    const method = expectText(spec.method, "the method", 253);
    const timeoutMs = Math.max(1, Math.ceil(attempt.endsAtMs - clock.wallMs()));
    const answer = callApp({ app, method, payload: spec.payload, timeoutMs }).then(
      (result): Outcome => ({ kind: "succeeded", result }),
      (thrown: unknown): Outcome => {
        const error = AppError.from(thrown);
        if (error.family === "caller" || NOT_ASKED.has(error.code)) return failed(error);
        // The application itself has said that it failed.
        if (error.code.startsWith("app.") || error.code === "remote.unknown") return failed(error);
        return unknown(`${app}/${method}: ${error.message}`);
      },
    );
    return await Promise.race([answer, aborted(attempt.signal, `${app}/${method}`)]);
  }
}

function aborted(signal: AbortSignal, what: string): Promise<Outcome> {
  return new Promise((resolve) => {
    const end = (): void => resolve(unknown(`the answer of ${what} was not awaited any longer`));
    if (signal.aborted) end();
    else signal.addEventListener("abort", end, { once: true });
  });
}

export const plugin: StepPlugin = { kind: "app", create: (tools) => new AppStep(tools) };
