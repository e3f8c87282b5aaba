/** Runs and flows as they are told. */
import { enumNames, flow as wire } from "@myelin/contract";
import type { CompiledFlow, RunState, StepState, TaskState } from "@myelin/flows";
import type { RunEntry } from "./book.js";

const statuses = enumNames(wire.Status);
const stepStatuses = enumNames(wire.StepStatus);
const taskStatuses = enumNames(wire.TaskStatus);

/** How a run stands, on the wire. */
export function statusOf({ status }: RunState): wire.Status {
  return statuses.toWire(status) as wire.Status;
}

/** @param isBrief without its steps */
export function runToWire({ header, state, happened }: RunEntry, isBrief: boolean): wire.Run {
  return {
    header,
    status: statusOf(state),
    begunAtUs: us(state.begunAtMs),
    endedAtUs: us(state.endedAtMs),
    failure: state.cause?.failure,
    outputs: JSON.stringify(state.outputs),
    steps: isBrief ? [] : [...state.steps].map(([name, step]) => stepToWire(name, step)),
    revision: happened.length + 1,
  };
}

function stepToWire(name: string, step: StepState): wire.Step {
  const { status, items, tasks, undo, outputs, failure, begunAtMs, endedAtMs } = step;
  return {
    name,
    status: stepStatuses.toWire(status) as wire.StepStatus,
    begunAtUs: us(begunAtMs),
    endedAtUs: us(endedAtMs),
    outputs: JSON.stringify(outputs),
    failure,
    tasks: tasks.map((task, i) => taskToWire(items[i] ?? "", task, undo[i])),
  };
}

function taskToWire(item: string, task: TaskState, undo: TaskState | undefined): wire.Task {
  const wasUndone = undo !== undefined && undo.attempt > 0;
  return {
    item,
    status: taskStatuses.toWire(task.status) as wire.TaskStatus,
    attempts: task.attempt,
    failure: task.status === "succeeded" ? undefined : task.failure,
    undo: (wasUndone ? taskStatuses.toWire(undo.status) : 0) as wire.TaskStatus,
    undoFailure: wasUndone && undo.status !== "succeeded" ? undo.failure : undefined,
  };
}

/** A flow that can be started. */
export function flowToWire({ name, spec }: CompiledFlow, waiting: number, running: number): wire.Flow {
  return {
    name,
    description: spec.description ?? "",
    inputs: Object.entries(spec.input).map(([input, { type, required, description = "" }]) => ({
      name: input,
      type,
      required,
      description,
    })),
    waiting,
    running,
  };
}

function us(ms: number | undefined): number {
  return ms === undefined ? 0 : Math.round(ms * 1_000);
}
