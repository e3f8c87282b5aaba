/** Carries out attempts: gives them to the kind of step that can do them, and sees to it that each of them settles. */
import {
  type AttemptName,
  attemptKey,
  type CompiledStep,
  MAX_VALUE_BYTES,
  type Outcome,
  valuesOf,
} from "@myelin/flows";
import { AppError, type Clock } from "@myelin/kernel";
import type { RunEntry } from "./book.js";
import { failed, type StepAction, unknown } from "./steps/step.js";

/** How long a step may take to settle when its time is over. */
const GRACE_MS = 10_000;

/** One per owned partition. */
export class Attempts {
  readonly #flying = new Map<string, { readonly name: AttemptName; readonly ending: AbortController }>();
  #isClosed = false;

  constructor(
    private readonly clock: Clock,
    private readonly actions: ReadonlyMap<string, StepAction>,
  ) {}

  /** Whether one whose end nobody saw may be taken on. */
  mayTakeOn(entry: RunEntry, name: AttemptName): boolean {
    try {
      const { action, spec } = this.#prepared(entry, name);
      return action.repeats(spec);
    } catch {
      // What cannot be prepared was never carried out.
      return true;
    }
  }

  /** Resolves when it has settled; undefined: this process does not own the run any more. Never throws. */
  async carryOut(entry: RunEntry, name: AttemptName, begunAtMs: number): Promise<Outcome | undefined> {
    const { header, flow } = entry;
    const key = attemptKey(header.id, name);
    const ending = new AbortController();
    this.#flying.set(key, { name, ending });
    const step = flow.plan.steps.find((one) => one.name === name.step);
    const timeoutMs = (name.isUndo ? step?.undo?.timeoutMs : step?.timeoutMs) ?? 0;
    const endsAtMs = begunAtMs + timeoutMs;
    const timer = this.clock.setTimeout(
      () => ending.abort(new AppError("flow.timeout", `it has taken longer than ${timeoutMs} ms`)),
      Math.max(0, endsAtMs - this.clock.wallMs()),
    );
    try {
      const { action, spec } = this.#prepared(entry, name);
      const { tenant, id: run, depth } = header;
      const attempt = {
        key,
        tenant,
        run,
        flow: header.flow,
        depth,
        begunAtMs,
        endsAtMs,
        signal: ending.signal,
      };
      const outcome = await Promise.race([action.perform(spec, attempt), this.#tooLate(ending.signal)]);
      return this.#isClosed ? undefined : limited(outcome);
    } catch (thrown) {
      return this.#isClosed ? undefined : failed(AppError.from(thrown));
    } finally {
      this.clock.clear(timer);
      this.#flying.delete(key);
    }
  }

  /** The run goes no further: what is under way of its steps settles as soon as it can. What undoes them goes on. */
  stop(run: string, why: AppError): void {
    for (const [key, { name, ending }] of this.#flying)
      if (!name.isUndo && key.startsWith(`${run}/`)) ending.abort(why);
  }

  /** Another process takes on what is under way. */
  close(): void {
    this.#isClosed = true;
    const why = new AppError("operation.aborted", "the partition has another owner");
    for (const { ending } of this.#flying.values()) ending.abort(why);
  }

  #prepared(
    entry: RunEntry,
    name: AttemptName,
  ): { action: StepAction; spec: Readonly<Record<string, unknown>> } {
    const step = entry.flow.steps.get(name.step) as CompiledStep;
    const compiled = name.isUndo ? step.undo : step.action;
    const action = compiled === undefined ? undefined : this.actions.get(compiled.kind);
    if (compiled === undefined || action === undefined)
      throw new AppError(
        "flow.invalid",
        `there is no kind of step ${compiled?.kind ?? "that undoes this one"}`,
      );
    const { header, input, state } = entry;
    const device = state.steps.get(name.step)?.items[name.index] ?? "";
    const values = { ...valuesOf({ id: header.id, flow: header.flow, input }, state), device };
    return { action, spec: compiled.render(values) };
  }

  #tooLate(signal: AbortSignal): Promise<Outcome> {
    return new Promise((resolve) => {
      const begin = (): void => {
        const end = (): void => resolve(unknown("it did not settle when its time was over"));
        if (this.#isClosed) end();
        else this.clock.setTimeout(end, GRACE_MS).unref();
      };
      if (signal.aborted) begin();
      else signal.addEventListener("abort", begin, { once: true });
    });
  }
}

function limited(outcome: Outcome): Outcome {
  if (outcome.kind !== "succeeded") return outcome;
  const text = JSON.stringify(outcome.result ?? null);
  if (text.length <= MAX_VALUE_BYTES) return outcome;
  // It was done, so it is to be undone.
  return unknown(`its result is larger than ${MAX_VALUE_BYTES} bytes`);
}
