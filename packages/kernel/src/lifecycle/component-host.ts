/** Starts components in order and stops them in reverse, each within its own deadline. */
import { AppError } from "../errors/app-error.js";
import { abortError, type Clock, systemClock } from "../time/clock.js";
import { withDeadline } from "../time/deadline.js";
import type { Component, ComponentCondition, ComponentState, ComponentStatus } from "./component.js";

/** Deadlines in milliseconds, for each component that states none of its own. */
export interface ComponentHostOptions {
  readonly name: string;
  readonly startTimeoutMs?: number;
  readonly stopTimeoutMs?: number;
  readonly clock?: Clock;
  /** Called on each change of state, for logs and metrics; must not throw. */
  readonly onStateChange?: (status: ComponentStatus, error?: AppError) => void;
}

interface Slot {
  readonly component: Component;
  state: ComponentState;
  reason: string | undefined;
  /** Start was called and stop was not yet. */
  begun: boolean;
}

/** A component made of components: usable as the root of a process and inside another host. */
export class ComponentHost implements Component {
  readonly name: string;
  readonly #slots: Slot[];
  readonly #options: ComponentHostOptions;
  readonly #clock: Clock;
  readonly #startTimeoutMs: number;
  readonly #stopTimeoutMs: number;
  readonly #aborter = new AbortController();
  #starting: Promise<void> | undefined;
  #stopping: Promise<void> | undefined;

  constructor(components: readonly Component[], options: ComponentHostOptions) {
    this.name = options.name;
    this.#slots = components.map((component) => ({
      component,
      state: "created",
      reason: undefined,
      begun: false,
    }));
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#startTimeoutMs = options.startTimeoutMs ?? 30_000;
    this.#stopTimeoutMs = options.stopTimeoutMs ?? 5_000;
  }

  /** As long as the stops of all components may take together: so a host inside another one is not cut short. */
  get stopTimeoutMs(): number {
    return this.#slots.reduce((sum, slot) => sum + this.#stopLimitMs(slot.component), 0);
  }

  /**
   * Starts in the listed order. When one fails, what had begun is stopped in reverse before this rejects.
   * @throws AppError of the component, or `lifecycle.start_failed`, `lifecycle.start_timeout`, `operation.aborted`,
   *   or `lifecycle.bad_state` on a second call.
   */
  start(signal: AbortSignal): Promise<void> {
    if (this.#starting !== undefined || this.#stopping !== undefined) {
      return Promise.reject(
        new AppError("lifecycle.bad_state", `${this.name} was started or stopped before`),
      );
    }
    this.#starting = this.#startAll(signal);
    return this.#starting;
  }

  /**
   * Stops what had begun, in reverse; a start under way is called off first. A hanging stop does not keep the others.
   * @throws AggregateError with an AppError for each component that failed to stop or hung.
   */
  stop(): Promise<void> {
    this.#stopping ??= this.#stopWhenStarted();
    return this.#stopping;
  }

  /** `failed` and `degraded` come from the worst child. */
  condition(): ComponentCondition {
    const worst = worstOf(this.children());
    if (worst === undefined) return { state: "running" };
    const reason = `${worst.name}: ${worst.reason ?? worst.state}`;
    return { state: worst.state === "failed" ? "failed" : "degraded", reason };
  }

  /** Every component and their children, in start order. */
  children(): readonly ComponentStatus[] {
    return this.#slots.flatMap((slot) => {
      const nested = slot.component.children?.() ?? [];
      return [statusOf(slot), ...nested.map((s) => ({ ...s, name: `${slot.component.name}/${s.name}` }))];
    });
  }

  async #startAll(outer: AbortSignal): Promise<void> {
    const signal = AbortSignal.any([outer, this.#aborter.signal]);
    for (const slot of this.#slots) {
      try {
        if (signal.aborted) throw abortError(signal);
        await this.#startOne(slot, signal);
      } catch (thrown) {
        const error = AppError.wrap(
          "lifecycle.start_failed",
          `${slot.component.name} could not start`,
          thrown,
        );
        this.#set(slot, "failed", error);
        // The start error is what the caller must see; stop errors are reported through onStateChange.
        await this.#stopBegun();
        throw error;
      }
    }
  }

  async #startOne(slot: Slot, signal: AbortSignal): Promise<void> {
    slot.begun = true;
    this.#set(slot, "starting");
    await withDeadline(signal, this.#startTimeoutMs, (inner) => slot.component.start(inner), {
      clock: this.#clock,
      code: "lifecycle.start_timeout",
      what: `the start of ${slot.component.name}`,
    });
    this.#set(slot, "running");
  }

  async #stopWhenStarted(): Promise<void> {
    this.#aborter.abort(new AppError("operation.aborted", `${this.name} was asked to stop`));
    // A failed start was reported to whoever called start.
    await this.#starting?.catch(() => undefined);
    const errors = await this.#stopBegun();
    if (errors.length > 0) throw new AggregateError(errors, `${this.name} did not stop cleanly`);
  }

  async #stopBegun(): Promise<AppError[]> {
    const errors: AppError[] = [];
    for (const slot of this.#slots.toReversed()) {
      if (!slot.begun) continue;
      slot.begun = false;
      const failed = slot.state === "failed";
      if (!failed) this.#set(slot, "stopping");
      const error = await this.#stopOne(slot.component);
      if (error !== undefined) {
        errors.push(error);
        this.#set(slot, "failed", error);
      } else if (!failed) this.#set(slot, "stopped");
    }
    return errors;
  }

  async #stopOne(component: Component): Promise<AppError | undefined> {
    try {
      await withDeadline(undefined, this.#stopLimitMs(component), () => component.stop(), {
        clock: this.#clock,
        code: "lifecycle.stop_timeout",
        what: `the stop of ${component.name}`,
      });
      return undefined;
    } catch (thrown) {
      return AppError.wrap("lifecycle.stop_failed", `${component.name} failed to stop`, thrown);
    }
  }

  #stopLimitMs(component: Component): number {
    return component.stopTimeoutMs ?? this.#stopTimeoutMs;
  }

  #set(slot: Slot, state: ComponentState, error?: AppError): void {
    slot.state = state;
    slot.reason = error?.message;
    this.#options.onStateChange?.(toStatus(slot.component.name, state, error?.message), error);
  }
}

function statusOf(slot: Slot): ComponentStatus {
  if (slot.state !== "running") return toStatus(slot.component.name, slot.state, slot.reason);
  const condition = slot.component.condition?.() ?? { state: "running" };
  return toStatus(slot.component.name, condition.state, condition.reason);
}

function toStatus(name: string, state: ComponentState, reason: string | undefined): ComponentStatus {
  return reason === undefined ? { name, state } : { name, state, reason };
}

function worstOf(statuses: readonly ComponentStatus[]): ComponentStatus | undefined {
  return statuses.find((s) => s.state === "failed") ?? statuses.find((s) => s.state !== "running");
}
