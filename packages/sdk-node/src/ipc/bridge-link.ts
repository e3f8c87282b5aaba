/** Keeps one client connected: connects, comes back after a loss, moves to another connection without losing work. */
import { AppError, type Clock } from "@myelin/kernel";
import { AckTracker } from "./ack-tracker.js";
import { type Connection, type Frame, openConnection } from "./connection.js";
import type { ClientState, Settings } from "./options.js";
import { ReconnectSchedule } from "./reconnect.js";

/** What the link tells its client, and asks of it. */
export interface LinkPorts {
  readonly clock: Clock;
  /** In force for the next connection. */
  settings(): Settings;
  serves(): readonly string[];
  batch(data: Buffer, acks: AckTracker, gone: () => boolean): void;
  frame(frame: Frame, connection: Connection): void;
  drained(): void;
  up(connection: Connection): void;
  down(error: AppError | undefined): void;
  /** Nothing is in hand that `leave` should wait for. */
  idle(): boolean;
  state(state: ClientState): void;
  onError(error: AppError): void;
}

/** A connection that ends sooner counts as a failed try: something refuses us. */
const HELD_MS = 5_000;
const LEAVE_POLL_MS = 10;

type Waiter = (connection: Connection) => void;

/** `run` once; `current` comes and goes. */
export class BridgeLink {
  current: Connection | undefined;
  acks: AckTracker | undefined;
  connects = 0;
  lastError: AppError | undefined;
  readonly #ports: LinkPorts;
  readonly #aborter = new AbortController();
  readonly #waiters = new Set<Waiter>();
  #schedule: ReconnectSchedule;
  #replacing = false;
  /** Aborted to end the wait before the next try. */
  #wait = new AbortController();

  constructor(ports: LinkPorts) {
    this.#ports = ports;
    this.#schedule = new ReconnectSchedule(ports.settings().reconnect);
  }

  /** Failed tries since the last connection that held. */
  get failedTries(): number {
    return this.#schedule.failures;
  }

  /** The reconnect options have changed. */
  reschedule(): void {
    this.#schedule = new ReconnectSchedule(this.#ports.settings().reconnect);
  }

  /**
   * Stays until `close`. @throws AppError of the last try when tries are used up, or a refusal that waiting does not mend
   */
  async run(): Promise<void> {
    const { signal } = this.#aborter;
    const { clock } = this.#ports;
    this.#ports.state("connecting");
    while (!signal.aborted) {
      this.#schedule.began(clock.nowMs());
      const error = await this.#once(signal);
      if (signal.aborted) return;
      if (error === undefined) continue;
      this.lastError = error;
      this.#schedule.failures += 1;
      if (isFinal(error) || this.#schedule.exhausted) throw error;
      this.#ports.onError(error);
      this.#ports.state("reconnecting");
      this.#wait = new AbortController();
      const either = AbortSignal.any([signal, this.#wait.signal]);
      // An aborted wait ends the loop by its condition, or begins the next try.
      await clock.sleep(this.#schedule.waitMs(clock.nowMs()), either).catch(() => undefined);
    }
  }

  /** The connection, at once or as soon as there is one. @throws AppError `rpc.unavailable` at the deadline */
  within(timeoutMs: number): Promise<Connection> {
    if (this.current !== undefined) return Promise.resolve(this.current);
    const { clock } = this.#ports;
    return new Promise((resolve, reject) => {
      const waiter: Waiter = (connection) => {
        clock.clear(timer);
        resolve(connection);
      };
      const timer = clock.setTimeout(() => {
        this.#waiters.delete(waiter);
        const options = { cause: this.lastError };
        reject(new AppError("rpc.unavailable", `no connection to a bridge within ${timeoutMs} ms`, options));
      }, timeoutMs);
      this.#waiters.add(waiter);
    });
  }

  /** Calls once, at the next connection. */
  whenUp(waiter: Waiter): void {
    this.#waiters.add(waiter);
  }

  /** Ends the present connection in order and lets the next one begin; resolves when it has, or when the link is closed. */
  async replace(): Promise<void> {
    if (this.current === undefined) this.#wait.abort();
    if (this.current === undefined || this.#replacing) return;
    this.#replacing = true;
    const up = new Promise<void>((resolve) => {
      this.whenUp(() => resolve());
      this.#aborter.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    await this.leave("reconfigured");
    await up;
  }

  /** No new work, everything in hand done, then close; bounded by `stopTimeoutMs`. */
  async leave(reason: string): Promise<void> {
    const connection = this.current;
    if (connection === undefined) return;
    const { clock } = this.#ports;
    const endMs = clock.nowMs() + this.#ports.settings().stopTimeoutMs;
    connection.send({ $case: "drain", value: { reason } });
    while (!this.#ports.idle() && !connection.closed && clock.nowMs() < endMs)
      await clock.sleep(LEAVE_POLL_MS);
    this.acks?.flush();
    connection.close();
  }

  /** Ends the loop; `leave` first for an orderly end. */
  close(reason: AppError): void {
    this.#aborter.abort(reason);
    this.current?.close();
  }

  /** Connects and stays until the connection ends. Undefined when it ended as wished. */
  async #once(signal: AbortSignal): Promise<AppError | undefined> {
    const { clock } = this.#ports;
    let ended: (error: AppError | undefined) => void = () => undefined;
    const end = new Promise<AppError | undefined>((resolve) => {
      ended = resolve;
    });
    let connection: Connection | undefined;
    const acks = new AckTracker((ack) => connection?.send({ $case: "ack", value: ack }));
    let isGone = false;
    const gone = (): boolean => isGone;
    try {
      const handlers = {
        batch: (data: Buffer) => this.#ports.batch(data, acks, gone),
        frame: (frame: Frame, from: Connection) => this.#ports.frame(frame, from),
        drained: () => this.#ports.drained(),
        closed: (error: AppError | undefined) => {
          isGone = true;
          acks.close();
          ended(error);
        },
      };
      const settings = this.#ports.settings();
      connection = await openConnection(settings, this.#ports.serves(), clock, handlers, signal);
    } catch (thrown) {
      return AppError.from(thrown);
    }
    const beganMs = clock.nowMs();
    this.#began(connection, acks);
    const error = await end;
    this.current = undefined;
    this.#ports.down(error);
    if (clock.nowMs() - beganMs >= HELD_MS) this.#schedule.reset();
    const wished = this.#replacing;
    this.#replacing = false;
    return wished ? undefined : (error ?? new AppError("rpc.unavailable", "the bridge ended the stream"));
  }

  #began(connection: Connection, acks: AckTracker): void {
    this.current = connection;
    this.acks = acks;
    this.connects += 1;
    this.#ports.state("connected");
    this.#ports.up(connection);
    const waiters = [...this.#waiters];
    this.#waiters.clear();
    for (const waiter of waiters) waiter(connection);
  }
}

/** Refusals of the hello that waiting does not mend. */
function isFinal(error: AppError): boolean {
  return (
    error.code === "contract.unsupported_version" ||
    error.code === "contract.bad_token" ||
    error.code === "auth.bad_credentials" ||
    error.code === "auth.not_authorized" ||
    error.code === "app.protocol"
  );
}
