/** What an event makes of a run: the same events give the same run, in whichever process they are read. */
import { AppError } from "@myelin/kernel";
import { type RunPlan, retryWaitMs, type StepPlan } from "./plan.js";
import { createTask, isOver, type RunEvent, type RunState, type StepState, type TaskState } from "./state.js";

/**
 * Changes the run.
 * @throws AppError `internal.invalid_argument` for an event that cannot have happened, such as an attempt that was made before
 */
export function applyEvent(plan: RunPlan, run: RunState, event: RunEvent): void {
  expect(!isOver(run.status), event, "the run is over");
  switch (event.kind) {
    case "begun":
      expect(run.status === "waiting", event, "the run has begun");
      run.status = "running";
      run.begunAtMs = event.atMs;
      return;
    case "opened": {
      const step = stepOf(run, event.step);
      expect(step.status === "waiting", event, "the step has begun");
      step.status = "running";
      step.items = event.items;
      step.begunAtMs = event.atMs;
      for (const _ of event.items) step.tasks.push(createTask());
      return;
    }
    case "skipped":
      close(run, event.step, "skipped", event.atMs);
      return;
    case "tried":
      tried(run, event);
      return;
    case "settled":
      settled(plan, run, event);
      return;
    case "closed": {
      const step = stepOf(run, event.step);
      step.outputs = event.outputs;
      step.failure = event.failure;
      close(run, event.step, event.failure === undefined ? "succeeded" : "failed", event.atMs);
      return;
    }
    case "stopped":
      expect(run.cause === undefined, event, "the run was stopped before");
      run.cause = event.cause;
      run.status = "undoing";
      return;
    case "finished":
      run.status = run.cause?.kind ?? "succeeded";
      run.outputs = event.outputs;
      run.endedAtMs = event.atMs;
      for (const step of run.steps.values()) if (step.status === "waiting") step.status = "dropped";
  }
}

function tried(run: RunState, event: RunEvent & { kind: "tried" }): void {
  const task = taskOf(run, event);
  expect(task.status === "waiting" && task.attempt === event.attempt - 1, event, "it was tried before");
  task.status = "running";
  task.attempt = event.attempt;
  task.begunAtMs = event.atMs;
}

function settled(plan: RunPlan, run: RunState, event: RunEvent & { kind: "settled" }): void {
  const task = taskOf(run, event);
  expect(task.status === "running" && task.attempt === event.attempt, event, "it is not under way");
  const { outcome } = event;
  if (outcome.kind === "succeeded") {
    task.status = "succeeded";
    task.result = outcome.result;
    return;
  }
  task.failure = outcome.failure;
  const step = planOfStep(plan, event.step);
  const retry = event.isUndo ? step.undo?.retry : step.retry;
  const mayTryAgain =
    retry !== undefined &&
    task.attempt < retry.attempts &&
    // What undoes something must be done, and is meant to be done again.
    (event.isUndo || (outcome.kind === "failed" && outcome.retryable && run.cause === undefined));
  task.status = mayTryAgain ? "waiting" : outcome.kind;
  if (mayTryAgain) task.dueAtMs = event.atMs + retryWaitMs(retry, task.attempt);
}

function close(run: RunState, name: string, status: "succeeded" | "failed" | "skipped", atMs: number): void {
  const step = stepOf(run, name);
  step.status = status;
  step.endedAtMs = atMs;
  run.closed.push(name);
}

function taskOf(run: RunState, event: RunEvent & { kind: "tried" | "settled" }): TaskState {
  const { undo, tasks } = stepOf(run, event.step);
  if (event.isUndo) while (undo.length < tasks.length) undo.push(createTask());
  const task = (event.isUndo ? undo : tasks)[event.index];
  if (task === undefined) throw impossible(event, "there is no such task");
  return task;
}

function stepOf(run: RunState, name: string): StepState {
  const step = run.steps.get(name);
  if (step === undefined) throw new AppError("internal.invalid_argument", `a run has no step ${name}`);
  return step;
}

function planOfStep(plan: RunPlan, name: string): StepPlan {
  const step = plan.steps.find((one) => one.name === name);
  if (step === undefined) throw new AppError("internal.invalid_argument", `a flow has no step ${name}`);
  return step;
}

function expect(holds: boolean, event: RunEvent, otherwise: string): void {
  if (!holds) throw impossible(event, otherwise);
}

function impossible(event: RunEvent, why: string): AppError {
  return new AppError("internal.invalid_argument", `${event.kind} cannot happen to a run: ${why}`);
}
