/** Writes fail-safe values when whoever commands has gone silent, and when the agent stops. */
import type { Clock, Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { ActuatedDevice } from "./actuated-device.js";
import type { CommandJournal } from "./command-journal.js";
import { failSafeWritesOf } from "./planned-writes.js";

const AGAIN_MS = 1_000;
/** How long one attempt may take. */
const WRITE_MS = 5_000;

interface Watch {
  readonly command: string;
  dueMs: number;
  timer: Timer | undefined;
}

/** What is armed is in the journal: a crash does not disarm it. */
export class FailSafes {
  readonly #journal: CommandJournal;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #preempt: (device: string) => void;
  readonly #devices = new Map<string, ActuatedDevice>();
  readonly #watches = new Map<string, Map<string, Watch>>();
  #isStopping = false;

  constructor(options: {
    journal: CommandJournal;
    clock: Clock;
    logger: Logger;
    preempt: (device: string) => void;
  }) {
    this.#journal = options.journal;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#preempt = options.preempt;
  }

  /** The device can be reached: what is armed for it counts from now on, what is due is written. */
  attach(device: ActuatedDevice): void {
    this.#devices.set(device.id, device);
    for (const { device: id, command, dueMs } of this.#journal.armed) {
      if (id !== device.id || this.#watches.get(id)?.has(command)) continue;
      // A clock that was set back must not put it off beyond its time.
      const most = device.profile.commands.get(command)?.spec.failSafe?.after ?? 0;
      this.#watch(id, command, Math.min(Math.max(0, dueMs - this.#clock.wallMs()), most));
    }
  }

  /** Writes what is armed for the device and forgets it. */
  async detach(id: string): Promise<void> {
    await this.#fireAll(id);
    this.#devices.delete(id);
  }

  /** Resolves when it is on the disk. Begins its time anew when it is armed already. @throws AppError `store.write_failed` */
  async arm(device: ActuatedDevice, command: string, afterMs: number): Promise<void> {
    const dueMs = this.#clock.wallMs() + afterMs;
    this.#devices.set(device.id, device);
    this.#watch(device.id, command, afterMs);
    await this.#journal.append({ kind: "armed", device: device.id, command, dueMs });
  }

  /** Writes all that is armed, once, within a few seconds; what fails stays armed for the next start. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    await Promise.all([...this.#watches.keys()].map((id) => this.#fireAll(id)));
  }

  #watch(id: string, command: string, afterMs: number): void {
    let watches = this.#watches.get(id);
    if (watches === undefined) {
      watches = new Map();
      this.#watches.set(id, watches);
    }
    this.#clock.clear(watches.get(command)?.timer);
    const watch: Watch = { command, dueMs: this.#clock.nowMs() + afterMs, timer: undefined };
    watches.set(command, watch);
    this.#wait(id, watch, afterMs);
  }

  #wait(id: string, watch: Watch, ms: number): void {
    watch.timer = this.#clock.setTimeout(() => {
      void this.#fire(id, watch);
    }, ms);
  }

  async #fireAll(id: string): Promise<void> {
    const watches = [...(this.#watches.get(id)?.values() ?? [])];
    for (const { timer } of watches) this.#clock.clear(timer);
    await Promise.all(watches.map((watch) => this.#fire(id, watch)));
    this.#watches.delete(id);
  }

  async #fire(id: string, watch: Watch): Promise<void> {
    const device = this.#devices.get(id);
    const spec = device?.profile.commands.get(watch.command)?.spec;
    const writes = spec === undefined ? [] : failSafeWritesOf(spec);
    this.#preempt(id);
    const isDone = device === undefined || device.isReadOnly || (await this.#write(device, writes));
    // It was armed anew meanwhile, by a command that came after all.
    if (this.#watches.get(id)?.get(watch.command) !== watch) return;
    if (!isDone) {
      if (!this.#isStopping) this.#wait(id, watch, AGAIN_MS);
      return;
    }
    this.#watches.get(id)!.delete(watch.command);
    await this.#note(id, watch.command);
  }

  async #write(device: ActuatedDevice, writes: ReturnType<typeof failSafeWritesOf>): Promise<boolean> {
    const { id } = device;
    const abort = new AbortController();
    const late = this.#clock.setTimeout(() => abort.abort(), WRITE_MS);
    try {
      for (const { point, value, waitMs } of writes) {
        const { outcome, error } = await device.write(point, value, "stop", abort.signal);
        if (outcome !== "written") {
          this.#logger.error(
            { device: id, point, trouble: error?.message },
            "a fail-safe value was not written, will try again",
          );
          return false;
        }
        if (waitMs > 0) await Promise.allSettled([this.#clock.sleep(waitMs, abort.signal)]);
      }
    } finally {
      this.#clock.clear(late);
    }
    this.#logger.warn({ device: id, values: writes.length }, "fail-safe values were written");
    return true;
  }

  /** Not armed any more. Where the parameter stands now is measured, not remembered: slew begins there. */
  async #note(device: string, command: string): Promise<void> {
    const atMs = this.#clock.wallMs();
    const key = `fail-safe/${device}/${command}/${atMs}`;
    const entries = [
      this.#journal.append({ kind: "armed", device, command, dueMs: 0 }),
      this.#journal.append({ kind: "begun", key, device, command, parameters: {}, atMs }),
      this.#journal.append({ kind: "ended", key, atMs, result: { state: "executed" } }),
    ];
    for (const settled of await Promise.allSettled(entries)) {
      if (settled.status === "rejected")
        this.#logger.error(
          { device, command, trouble: String(settled.reason) },
          "a fail-safe value is still noted as due",
        );
    }
  }
}
