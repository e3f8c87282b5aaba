/** What the probes of a process answer, computed from the states of its components. */
import type { ComponentStatus } from "@myelin/kernel";

/** `degraded` is ready: turning senders away would not bring back what is missing. */
export type HealthStatus = "starting" | "ok" | "degraded" | "failed" | "stopping";

/** The body of `/readyz` and `/startupz`. */
export interface HealthReport {
  readonly status: HealthStatus;
  readonly ready: boolean;
  readonly started: boolean;
  readonly components: readonly ComponentStatus[];
}

/** The health of one process; service-host moves it on. */
export class Health {
  readonly #components: () => readonly ComponentStatus[];
  #phase: "starting" | "started" | "stopping" = "starting";

  constructor(components: () => readonly ComponentStatus[]) {
    this.#components = components;
  }

  /** Every component has been started. */
  markStarted(): void {
    if (this.#phase === "starting") this.#phase = "started";
  }

  /** From here on not ready; called before anything closes. */
  markStopping(): void {
    this.#phase = "stopping";
  }

  report(): HealthReport {
    const components = this.#components();
    const status = this.#status(components);
    return {
      status,
      ready: status === "ok" || status === "degraded",
      started: this.#phase !== "starting",
      components,
    };
  }

  #status(components: readonly ComponentStatus[]): HealthStatus {
    if (this.#phase !== "started") return this.#phase;
    if (components.some((c) => c.state === "failed")) return "failed";
    return components.every((c) => c.state === "running") ? "ok" : "degraded";
  }
}
