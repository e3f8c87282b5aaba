/** What is known of a run, and what can happen to it. */

/** Why something went wrong. */
export interface Failure {
  readonly code: string;
  readonly message: string;
}

/** What became of an attempt. `unknown`: it may have been done. */
export type Outcome =
  | { readonly kind: "succeeded"; readonly result: unknown }
  | { readonly kind: "failed"; readonly failure: Failure; readonly retryable: boolean }
  | { readonly kind: "unknown"; readonly failure: Failure };

/** Which attempt: `index` is the place of its device in a step over devices, 0 otherwise. */
export interface AttemptName {
  readonly step: string;
  readonly index: number;
  /** What undoes the step, instead of the step. */
  readonly isUndo: boolean;
  /** From 1. */
  readonly attempt: number;
}

/** Why no further step is begun. */
export interface StopCause {
  readonly kind: "failed" | "cancelled";
  readonly failure: Failure;
}

/** What happens to a run, in the order in which it is written down. */
export type RunEvent =
  | { readonly kind: "begun"; readonly atMs: number }
  /** A step has begun. `items`: the devices of a step over devices, one empty name otherwise. */
  | {
      readonly kind: "opened";
      readonly step: string;
      readonly items: readonly string[];
      readonly atMs: number;
    }
  | { readonly kind: "skipped"; readonly step: string; readonly atMs: number }
  /** Written down before anything is done. */
  | ({ readonly kind: "tried"; readonly atMs: number } & AttemptName)
  | ({ readonly kind: "settled"; readonly atMs: number; readonly outcome: Outcome } & AttemptName)
  /** A step is over. */
  | {
      readonly kind: "closed";
      readonly step: string;
      readonly outputs: Readonly<Record<string, unknown>>;
      /** Absent: it succeeded. */
      readonly failure?: Failure | undefined;
      readonly atMs: number;
    }
  | { readonly kind: "stopped"; readonly cause: StopCause; readonly atMs: number }
  | { readonly kind: "finished"; readonly outputs: Readonly<Record<string, unknown>>; readonly atMs: number };

/** How a run stands. `undoing` also while it waits for what was under way when it failed. */
export type RunStatus = "waiting" | "running" | "undoing" | "succeeded" | "failed" | "cancelled";

/** How a step stands; `dropped`: the run ended without it. */
export type StepStatus = "waiting" | "running" | "succeeded" | "failed" | "skipped" | "dropped";

/** A step, or its part for one device, or what undoes that. */
export interface TaskState {
  status: "waiting" | "running" | "succeeded" | "failed" | "unknown";
  /** Attempts begun. */
  attempt: number;
  /** Of the running attempt. */
  begunAtMs: number;
  /** Before that, no further attempt. */
  dueAtMs: number;
  result: unknown;
  failure: Failure | undefined;
}

/** A step of a run. */
export interface StepState {
  status: StepStatus;
  items: readonly string[];
  readonly tasks: TaskState[];
  /** As many as tasks, once anything is undone. */
  readonly undo: TaskState[];
  outputs: Readonly<Record<string, unknown>>;
  failure: Failure | undefined;
  begunAtMs: number | undefined;
  endedAtMs: number | undefined;
}

/** A run. Changed by `applyEvent` alone. */
export interface RunState {
  status: RunStatus;
  cause: StopCause | undefined;
  begunAtMs: number | undefined;
  endedAtMs: number | undefined;
  readonly steps: Map<string, StepState>;
  /** Steps in the order in which they were over. */
  readonly closed: string[];
  outputs: Readonly<Record<string, unknown>>;
}

/** A run of which nothing has happened yet. */
export function createRun(steps: readonly string[]): RunState {
  return {
    status: "waiting",
    cause: undefined,
    begunAtMs: undefined,
    endedAtMs: undefined,
    steps: new Map(steps.map((name) => [name, createStep()])),
    closed: [],
    outputs: {},
  };
}

function createStep(): StepState {
  return {
    status: "waiting",
    items: [],
    tasks: [],
    undo: [],
    outputs: {},
    failure: undefined,
    begunAtMs: undefined,
    endedAtMs: undefined,
  };
}

/** A task of which nothing has been tried yet. */
export function createTask(): TaskState {
  return { status: "waiting", attempt: 0, begunAtMs: 0, dueAtMs: 0, result: null, failure: undefined };
}

/** Nothing more happens to it. */
export function isOver(status: RunStatus): boolean {
  return status === "succeeded" || status === "failed" || status === "cancelled";
}

/** The name under which an attempt is done: whoever sees it twice does it once. */
export function attemptKey(run: string, { step, index, isUndo, attempt }: AttemptName): string {
  return `${run}/${step}${isUndo ? "!" : ""}/${index}/${attempt}`;
}
