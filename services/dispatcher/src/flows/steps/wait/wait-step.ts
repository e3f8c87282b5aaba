/** Goes on when a time has come, a device has said something, or a point is as it should be. */
import { expectText, type Outcome, type Values } from "@myelin/flows";
import { AppError } from "@myelin/kernel";
import type { StepAction, StepAttempt, StepPlugin, StepTools } from "../step.js";

const RETRY_MS = 250;

interface DeviceWait {
  readonly device: unknown;
  readonly topics?: readonly string[];
  readonly when?: string;
}

class WaitStep implements StepAction {
  constructor(private readonly tools: StepTools) {}

  /** It changes nothing. */
  repeats(): boolean {
    return true;
  }

  async perform(spec: Values, attempt: StepAttempt): Promise<Outcome> {
    if (spec.for !== undefined) return await this.#until(attempt.begunAtMs + (spec.for as number), attempt);
    if (spec.until !== undefined) {
      const atMs = Date.parse(expectText(spec.until, "the time", 64));
      if (Number.isNaN(atMs))
        throw new AppError("expression.failed", `${String(spec.until)} is no point of time`);
      return await this.#until(atMs, attempt);
    }
    return await this.#device((spec.event ?? spec.point) as DeviceWait, attempt);
  }

  async #until(atMs: number, { signal, endsAtMs }: StepAttempt): Promise<Outcome> {
    const { clock } = this.tools;
    // One that is met in the same moment as its timeout is met.
    for (let left = atMs - clock.wallMs(); left > 0; left = atMs - clock.wallMs()) {
      if (signal.aborted) return isOver(signal);
      await clock.sleep(left, atMs <= endsAtMs ? undefined : signal).catch(() => undefined);
    }
    return { kind: "succeeded", result: { at: new Date(atMs).toISOString() } };
  }

  async #device(wait: DeviceWait, { key, tenant, signal }: StepAttempt): Promise<Outcome> {
    const { clock, awaited } = this.tools;
    const device = expectText(wait.device, "the device", 256);
    const wanted = { tenant, device, key, topics: wait.topics ?? [], when: wait.when ?? "" };
    while (!signal.aborted) {
      try {
        const result = await awaited(wanted, signal);
        if (result !== undefined) return { kind: "succeeded", result };
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (!error.retryable) throw error;
        await clock.sleep(RETRY_MS);
      }
    }
    return isOver(signal);
  }
}

function isOver(signal: AbortSignal): Outcome {
  const { code, message } = AppError.from(signal.reason);
  return { kind: "failed", failure: { code, message: `nothing has come: ${message}` }, retryable: true };
}

export const plugin: StepPlugin = { kind: "wait", create: (tools) => new WaitStep(tools) };
