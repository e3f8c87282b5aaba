/** Asks each app how it is, every ten seconds, and turns three like answers into a verdict. */
import { AppError, type Clock, type Timer } from "@myelin/kernel";
import type { BridgeSettings } from "./settings.js";

/** What the monitor needs of a session. */
export interface Patient {
  readonly healthUrl: string;
  readonly health: HealthRecord;
  /** Sends a ping; the answer comes through `HealthMonitor.pong`. */
  ping(nonce: number): void;
  /** The verdict has changed. */
  healthChanged(healthy: boolean): void;
  /** The verdict could not be acted upon: the session ends. */
  fail(error: AppError): void;
}

/** Asks a URL; true for an answer 2xx within the time. A rejection counts as no good answer. */
export type HealthProbe = (url: string, timeoutMs: number) => Promise<boolean>;

/** State of one session; a new one is trusted until it fails. */
export class HealthRecord {
  healthy = true;
  failures = 0;
  goods = 0;
  /** The ping that has no answer yet; 0: none. */
  awaited = 0;
  probing = false;

  /** Counts one answer; true when it changed the verdict. */
  note(good: boolean, threshold: number): boolean {
    this.goods = good ? this.goods + 1 : 0;
    this.failures = good ? 0 : this.failures + 1;
    const changed = this.healthy ? this.failures >= threshold : this.goods >= threshold;
    if (changed) this.healthy = !this.healthy;
    return changed;
  }
}

/** One timer for all sessions. */
export class HealthMonitor {
  readonly #clock: Clock;
  readonly #settings: BridgeSettings["health"];
  readonly #probe: HealthProbe;
  readonly #patients: () => Iterable<Patient>;
  #timer: Timer | undefined;
  #nonce = 0;

  constructor(
    clock: Clock,
    settings: BridgeSettings["health"],
    probe: HealthProbe,
    patients: () => Iterable<Patient>,
  ) {
    this.#clock = clock;
    this.#settings = settings;
    this.#probe = probe;
    this.#patients = patients;
  }

  start(): void {
    this.#timer = this.#clock.setInterval(() => this.#round(), this.#settings.intervalMs).unref();
  }

  stop(): void {
    this.#clock.clear(this.#timer);
  }

  /** An answer of an app; one that nobody awaits is ignored. */
  pong(patient: Patient, nonce: number, healthy: boolean): void {
    const { health } = patient;
    if (health.awaited !== nonce || nonce === 0) return;
    health.awaited = 0;
    this.#note(patient, healthy);
  }

  #round(): void {
    for (const patient of this.#patients()) {
      if (patient.healthUrl !== "") this.#ask(patient);
      else {
        // The time for an answer is one interval: a late answer to the last ping counts as none.
        if (patient.health.awaited !== 0) this.#note(patient, false);
        this.#nonce += 1;
        patient.health.awaited = this.#nonce;
        patient.ping(this.#nonce);
      }
    }
  }

  #ask(patient: Patient): void {
    if (patient.health.probing) return;
    patient.health.probing = true;
    this.#probe(patient.healthUrl, this.#settings.timeoutMs)
      .catch(() => false)
      .then((good) => {
        patient.health.probing = false;
        this.#note(patient, good);
      })
      .catch((thrown: unknown) => patient.fail(AppError.from(thrown)));
  }

  #note(patient: Patient, good: boolean): void {
    if (patient.health.note(good, this.#settings.threshold)) patient.healthChanged(patient.health.healthy);
  }
}
