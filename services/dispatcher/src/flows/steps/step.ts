/** What every kind of step must do. */
import type { AwaitedMessage } from "@myelin/bus";
import type { Outcome, Values } from "@myelin/flows";
import type { AppError, Clock } from "@myelin/kernel";
import type { CommandDesk } from "../../commands/api.js";
import type { FlowDesk } from "../api.js";

/** What steps may use of the platform. */
export interface StepTools {
  readonly clock: Clock;
  readonly commands: CommandDesk;
  readonly flows: FlowDesk;
  /** @throws AppError `request.no_responder` where it was certainly not asked; whatever else, it may have been */
  callApp(call: AppCall): Promise<unknown>;
  /** Resolves with what a device has said, or with undefined when the signal aborts. @throws AppError `request.*`, `bus.*` */
  awaited(wanted: AwaitedMessage, signal: AbortSignal): Promise<unknown>;
}

/** A request to an application. */
export interface AppCall {
  readonly app: string;
  readonly method: string;
  readonly payload: unknown;
  readonly timeoutMs: number;
}

/** One attempt of a step. */
export interface StepAttempt {
  /** Whoever sees it twice does it once. */
  readonly key: string;
  readonly tenant: string;
  readonly run: string;
  readonly flow: string;
  readonly depth: number;
  /** Unix time; of the first process that made the attempt. */
  readonly begunAtMs: number;
  /** Unix time at which `signal` aborts at the latest. */
  readonly endsAtMs: number;
  /** The time is over, or the run was stopped: the attempt must settle within seconds. */
  readonly signal: AbortSignal;
}

/** One kind of step, with its tools. `Spec` is what the flow says, its expressions replaced by what they gave. */
export interface StepAction {
  /** Whether an attempt whose end nobody saw may be taken on under its key. Called when a process takes a run on. */
  repeats(spec: Values): boolean;
  /**
   * Does it, and says what became of it: `unknown` where it may have been done.
   * @throws AppError what is certainly not done; tried again where its code is retryable
   */
  perform(spec: Values, attempt: StepAttempt): Promise<Outcome>;
}

/** A kind of step: a folder and a line of the registry. */
export interface StepPlugin {
  readonly kind: string;
  create(tools: StepTools): StepAction;
}

/** Kinds of steps, loaded at the start. */
export type StepRegistry = Readonly<Record<string, () => Promise<{ readonly plugin: StepPlugin }>>>;

/** What an error makes of an attempt that was certainly not carried out. */
export function failed(error: AppError): Outcome {
  const { code, message, retryable } = error;
  return { kind: "failed", failure: { code, message }, retryable };
}

/** Of an attempt of which nobody knows whether it was carried out. */
export function unknown(message: string): Outcome {
  return { kind: "unknown", failure: { code: "flow.outcome_unknown", message } };
}
