/** What comes next in a run: a pure function of what has happened and the time. */
import type { RunPlan, StepPlan } from "./plan.js";
import {
  type AttemptName,
  type Failure,
  isOver,
  type RunState,
  type StepState,
  type StopCause,
  type TaskState,
} from "./state.js";

/** What is to be done now. Each becomes an event: `open` opened, skipped or closed; `try` tried, and settled later. */
export type Decision =
  | { readonly kind: "open"; readonly step: string }
  | ({ readonly kind: "try"; readonly item: string } & AttemptName)
  /** Nothing of the step is under way any more. Absent failure: it succeeded, unless its outputs cannot be made. */
  | { readonly kind: "close"; readonly step: string; readonly failure: Failure | undefined }
  | { readonly kind: "stop"; readonly cause: StopCause }
  | { readonly kind: "finish" };

/** What is to be done now, and when to ask again although nothing has happened; undefined: not before something has. */
export interface Next {
  readonly decisions: readonly Decision[];
  readonly wakeAtMs: number | undefined;
}

/** The run must have begun. Asked again after every event. */
export function nextOf(plan: RunPlan, run: RunState, nowMs: number): Next {
  if (isOver(run.status) || run.begunAtMs === undefined) return { decisions: [], wakeAtMs: undefined };
  return new Look(plan, run, nowMs).next();
}

/** Attempts that were begun and of which no outcome is known: after a restart, whoever takes the run on asks for them. */
export function attemptsUnderWay(run: RunState): readonly (AttemptName & { readonly begunAtMs: number })[] {
  const found: (AttemptName & { begunAtMs: number })[] = [];
  for (const [step, state] of run.steps)
    for (const isUndo of [false, true])
      for (const [index, task] of (isUndo ? state.undo : state.tasks).entries())
        if (task.status === "running")
          found.push({ step, index, isUndo, attempt: task.attempt, begunAtMs: task.begunAtMs });
  return found;
}

class Look {
  readonly #decisions: Decision[] = [];
  #wakeAtMs: number | undefined;
  /** Tasks that may still be begun. */
  #room: number;

  constructor(
    private readonly plan: RunPlan,
    private readonly run: RunState,
    private readonly nowMs: number,
  ) {
    this.#room = plan.maxTasks - attemptsUnderWay(run).length;
  }

  next(): Next {
    if (this.run.cause === undefined) this.#goOn();
    else this.#giveUp();
    return { decisions: this.#decisions, wakeAtMs: this.#wakeAtMs };
  }

  #goOn(): void {
    const cause = this.#causeToStop();
    if (cause !== undefined) {
      this.#decisions.push({ kind: "stop", cause });
      return;
    }
    let isDone = true;
    for (const step of this.plan.steps) {
      const state = this.#stateOf(step);
      if (!isClosed(state)) isDone = false;
      if (state.status === "waiting") {
        if (step.dependsOn.every((name) => isClosed(this.run.steps.get(name))) && this.#room > 0)
          this.#decisions.push({ kind: "open", step: step.name });
      } else if (state.status === "running") this.#goOnWith(step, state);
    }
    if (isDone) this.#decisions.push({ kind: "finish" });
  }

  #causeToStop(): StopCause | undefined {
    for (const step of this.plan.steps) {
      const { status, failure } = this.#stateOf(step);
      if (status === "failed" && !step.mayFail)
        return { kind: "failed", failure: named(step.name, failure as Failure) };
    }
    const endsAtMs = (this.run.begunAtMs as number) + this.plan.timeoutMs;
    if (this.nowMs >= endsAtMs) {
      const message = `the run has taken longer than ${this.plan.timeoutMs} ms`;
      return { kind: "failed", failure: { code: "flow.timeout", message } };
    }
    this.#wake(endsAtMs);
    return undefined;
  }

  #goOnWith(step: StepPlan, state: StepState): void {
    const bad = state.tasks.filter(({ status }) => status === "failed" || status === "unknown");
    const hasFailed = bad.length > step.failures;
    const running = state.tasks.filter(({ status }) => status === "running").length;
    const isLeft = state.tasks.some(({ status }) => status === "waiting");
    if (running === 0 && (hasFailed || !isLeft)) {
      const failure = hasFailed ? bad[0]?.failure : undefined;
      this.#decisions.push({ kind: "close", step: step.name, failure });
      return;
    }
    if (!hasFailed) this.#begin(step.name, state, state.tasks, step.atOnce - running, false);
  }

  #begin(step: string, state: StepState, tasks: readonly TaskState[], room: number, isUndo: boolean): void {
    let left = room;
    const order = isUndo ? [...tasks.keys()].reverse() : tasks.keys();
    for (const index of order) {
      const task = tasks[index] as TaskState;
      if (task.status !== "waiting" || (isUndo && !needsUndo(state.tasks[index]))) continue;
      if (task.dueAtMs > this.nowMs) {
        this.#wake(task.dueAtMs);
        continue;
      }
      if (left <= 0 || this.#room <= 0) return;
      left -= 1;
      this.#room -= 1;
      const item = state.items[index] as string;
      this.#decisions.push({ kind: "try", step, index, isUndo, attempt: task.attempt + 1, item });
    }
  }

  /** Nothing new is begun. When nothing is under way any more, what was done is undone, the last step first. */
  #giveUp(): void {
    let isQuiet = true;
    for (const step of this.plan.steps) {
      const state = this.#stateOf(step);
      if (state.status !== "running") continue;
      isQuiet = false;
      if (state.tasks.some(({ status }) => status === "running")) continue;
      const failure =
        state.tasks.find((task) => task.failure !== undefined)?.failure ?? this.run.cause?.failure;
      const isWhole = state.tasks.every(({ status }) => status === "succeeded");
      this.#decisions.push({ kind: "close", step: step.name, failure: isWhole ? undefined : failure });
    }
    if (!isQuiet) return;
    for (const name of [...this.run.closed].reverse()) {
      const step = this.plan.steps.find((one) => one.name === name) as StepPlan;
      if (step.undo === undefined) continue;
      const state = this.#stateOf(step);
      const undo = state.tasks.map((_, i) => state.undo[i] ?? NOT_TRIED);
      const isUnder = undo.some(
        ({ status }, i) => needsUndo(state.tasks[i]) && (status === "waiting" || status === "running"),
      );
      if (!isUnder) continue;
      const running = undo.filter(({ status }) => status === "running").length;
      this.#begin(name, state, undo, step.atOnce - running, true);
      return;
    }
    this.#decisions.push({ kind: "finish" });
  }

  #stateOf({ name }: StepPlan): StepState {
    return this.run.steps.get(name) as StepState;
  }

  #wake(atMs: number): void {
    this.#wakeAtMs = Math.min(this.#wakeAtMs ?? atMs, atMs);
  }
}

const NOT_TRIED: TaskState = {
  status: "waiting",
  attempt: 0,
  begunAtMs: 0,
  dueAtMs: 0,
  result: null,
  failure: undefined,
};

/** What was done, or may have been. */
function needsUndo(task: TaskState | undefined): boolean {
  return task?.status === "succeeded" || task?.status === "unknown";
}

function isClosed(state: StepState | undefined): boolean {
  return state?.status === "succeeded" || state?.status === "failed" || state?.status === "skipped";
}

function named(step: string, { code, message }: Failure): Failure {
  return { code, message: `step ${step}: ${message}` };
}
