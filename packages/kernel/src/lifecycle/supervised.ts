/** Applies a start policy to one plugin instance, so that one bad device or broker does not keep the process from starting. */
import { AppError } from "../errors/app-error.js";
import { type BackoffOptions, backoff } from "../flow/backoff.js";
import { type Clock, systemClock } from "../time/clock.js";
import { withDeadline } from "../time/deadline.js";
import type { Component, ComponentCondition, ComponentStatus } from "./component.js";

/** `fail` ends the start of the whole process, `retry` goes on trying in the background, `skip` gives up visibly. */
export type StartErrorPolicy = "fail" | "retry" | "skip";

/** `create` is called for every try, because a component starts at most once; it must do no I/O. */
export interface SupervisedOptions {
  readonly name: string;
  readonly create: () => Component;
  readonly onStartError?: StartErrorPolicy;
  readonly backoff?: BackoffOptions;
  readonly startTimeoutMs?: number;
  readonly stopTimeoutMs?: number;
  readonly clock?: Clock;
  /** Called once per failed try; must not throw. */
  readonly onStartFailed?: (error: AppError, attempt: number) => void;
  /** Called when a later try has succeeded; must not throw. */
  readonly onRecovered?: (attempts: number) => void;
}

const DEFAULT_STOP_MS = 5_000;
const DEFAULT_BACKOFF: BackoffOptions = { initialMs: 500, maxMs: 30_000 };

/**
 * A component that starts another one under a policy (default `retry`). Configuration errors always reject the start:
 * waiting does not mend them. While the inner component is away this one is `degraded`, after `skip` it is `failed`.
 */
export class Supervised implements Component {
  readonly name: string;
  readonly #options: SupervisedOptions;
  readonly #clock: Clock;
  readonly #aborter = new AbortController();
  #inner: Component | undefined;
  #lastError: AppError | undefined;
  #retrying: Promise<void> | undefined;

  constructor(options: SupervisedOptions) {
    this.name = options.name;
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
  }

  /** That of the inner component, where it states one. */
  get stopTimeoutMs(): number {
    return this.#inner?.stopTimeoutMs ?? this.#options.stopTimeoutMs ?? DEFAULT_STOP_MS;
  }

  /** The running inner component; undefined while it is away. */
  get current(): Component | undefined {
    return this.#lastError === undefined ? this.#inner : undefined;
  }

  /** @throws AppError of the inner component with policy `fail`, and for every `config.*` error. */
  async start(signal: AbortSignal): Promise<void> {
    const error = await this.#tryStart(signal, 1);
    if (error === undefined) return;
    const policy = this.#options.onStartError ?? "retry";
    if (policy === "fail" || signal.aborted || error.code.startsWith("config.")) throw error;
    if (policy === "retry") this.#retrying = this.#retryUntilUp();
  }

  async stop(): Promise<void> {
    this.#aborter.abort(new AppError("operation.aborted", `${this.name} was asked to stop`));
    await this.#retrying;
    await this.#inner?.stop();
  }

  condition(): ComponentCondition {
    if (this.#lastError === undefined) return this.#inner?.condition?.() ?? { state: "running" };
    const state = this.#retrying === undefined ? "failed" : "degraded";
    return { state, reason: this.#lastError.message };
  }

  children(): readonly ComponentStatus[] {
    return this.current?.children?.() ?? [];
  }

  async #retryUntilUp(): Promise<void> {
    const { signal } = this.#aborter;
    const waits = backoff(this.#options.backoff ?? DEFAULT_BACKOFF);
    for (let attempt = 2; !signal.aborted; attempt++) {
      // An aborted sleep ends the loop by its condition.
      await this.#clock.sleep(waits.nextMs(), signal).catch(() => undefined);
      if (signal.aborted) return;
      const error = await this.#tryStart(signal, attempt);
      if (error !== undefined) continue;
      this.#retrying = undefined;
      this.#options.onRecovered?.(attempt);
      return;
    }
  }

  async #tryStart(signal: AbortSignal, attempt: number): Promise<AppError | undefined> {
    const { name, create, startTimeoutMs = 30_000, stopTimeoutMs = DEFAULT_STOP_MS } = this.#options;
    const what = `the start of ${name}`;
    let inner: Component | undefined;
    try {
      inner = create();
      this.#inner = inner;
      const started = inner;
      const options = { clock: this.#clock, code: "lifecycle.start_timeout", what } as const;
      await withDeadline(signal, startTimeoutMs, (s) => started.start(s), options);
      this.#lastError = undefined;
      return undefined;
    } catch (thrown) {
      const error = AppError.wrap("lifecycle.start_failed", `${name} could not start`, thrown);
      this.#lastError = error;
      this.#inner = undefined;
      this.#options.onStartFailed?.(error, attempt);
      const stopping = inner;
      // The start error is the one that matters; the next try begins with a new instance.
      if (stopping !== undefined) {
        await withDeadline(undefined, stopTimeoutMs, () => stopping.stop(), { clock: this.#clock }).catch(
          () => undefined,
        );
      }
      return error;
    }
  }
}
