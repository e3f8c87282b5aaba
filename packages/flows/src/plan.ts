/** What the engine has to know of a flow: its graph, and what bounds it. */
import type { FlowSpec, FlowStepSpec } from "@myelin/config";

/** How often something is tried, and how long apart. */
export interface RetryPlan {
  readonly attempts: number;
  readonly waitMs: number;
  readonly factor: number;
  readonly maxWaitMs: number;
}

/** One step. */
export interface StepPlan {
  readonly name: string;
  readonly dependsOn: readonly string[];
  /** Of one attempt. */
  readonly timeoutMs: number;
  readonly retry: RetryPlan;
  /** What later steps do not care for. */
  readonly mayFail: boolean;
  /** Most tasks of this step at the same time. */
  readonly atOnce: number;
  /** Tasks that may fail without the step failing. */
  readonly failures: number;
  /** Absent: nothing undoes it. */
  readonly undo: { readonly timeoutMs: number; readonly retry: RetryPlan } | undefined;
}

/** The graph of a flow, without cycles. */
export interface RunPlan {
  readonly steps: readonly StepPlan[];
  /** From the first step on. */
  readonly timeoutMs: number;
  /** Most tasks of a run at the same time. */
  readonly maxTasks: number;
}

/** The graph of a flow that was checked. */
export function planOf(spec: FlowSpec): RunPlan {
  return {
    steps: Object.entries(spec.steps).map(([name, step]) => stepOf(name, step)),
    timeoutMs: spec.timeout,
    maxTasks: spec.limits.steps,
  };
}

function stepOf(name: string, step: FlowStepSpec): StepPlan {
  const { each } = step.do;
  return {
    name,
    dependsOn: step.dependsOn,
    timeoutMs: step.timeout,
    retry: retryOf(step.retry),
    mayFail: step.onFailure === "continue",
    atOnce: each?.atOnce ?? 1,
    failures: each?.failures ?? 0,
    undo:
      step.undo === undefined ? undefined : { timeoutMs: step.undo.timeout, retry: retryOf(step.undo.retry) },
  };
}

function retryOf({ attempts, wait, factor, maxWait }: FlowStepSpec["retry"]): RetryPlan {
  return { attempts, waitMs: wait, factor, maxWaitMs: maxWait };
}

/** How long to wait behind the failure of an attempt, the first being 1. */
export function retryWaitMs({ waitMs, factor, maxWaitMs }: RetryPlan, attempt: number): number {
  return Math.min(maxWaitMs, waitMs * factor ** (attempt - 1));
}
