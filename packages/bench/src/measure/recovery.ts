/** How long a system needs after a blow: a route that was edited, a process that was killed. */
import { setTimeout as delay } from "node:timers/promises";
import { AppError } from "@myelin/kernel";
import { IpcClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import type { Lane, Recoverable } from "../systems/system.js";
import { Arrivals } from "./arrivals.js";
import { type Figures, significant } from "./stats.js";

/** A reading every 10 ms, so no figure is finer than that; every second one is an event. */
const EVERY_MS = 10;
const LANES: readonly Lane[] = ["telemetry", "event"];
/** Where something does not come back, the scenario ends and says what. */
const GIVE_UP_MS = 30_000;
/** Between two blows: everything that was sent has arrived, and leases and books are in order again. */
const SETTLE_MS = 3_000;
const ROUTE_EDITS = 10;
/** A device has this many readings on the way at most; beyond it it waits, as a real one would. */
const MAX_IN_FLIGHT = 500;

/** Which app a reading reached first: readings are numbered. */
class Probe implements AsyncDisposable {
  readonly #system: Recoverable;
  readonly #arrivals = new Map<string, Arrivals>();
  readonly #clients: IpcClient[] = [];
  readonly #clock: NodeJS.Timeout;
  readonly #over = new AbortController();
  #next = 0;
  #inFlight = 0;

  constructor(system: Recoverable) {
    this.#system = system;
    this.#clock = setInterval(() => this.#send(), EVERY_MS);
  }

  /** An app that gets what the route gives it. It tries again at once, so that its patience is no part of the figure. */
  async addApp(app: string): Promise<void> {
    const arrivals = new Arrivals();
    this.#arrivals.set(app, arrivals);
    const client = new IpcClient({
      app,
      target: this.#system.appTarget,
      reconnect: { initialMs: 20, perMinute: 3_000 },
    });
    client.onMessage(({ payload }) => arrivals.note(Number(payload.toString()), performance.now()));
    this.#clients.push(client);
    await client.start();
  }

  /** Milliseconds from now until `app` has a reading of each lane that was sent from now on. */
  async untilDelivered(app: string, blow: () => unknown): Promise<Record<Lane, number>> {
    const arrivals = this.#arrivals.get(app)!;
    const from = performance.now();
    await blow();
    const first = this.#next;
    const arrived = async (lane: Lane): Promise<[Lane, number]> => {
      const at = await waitFor(() => arrivals.firstFrom(first, LANES.length, LANES.indexOf(lane)), {
        what: `${lane} at ${app}`,
        deadlineMs: GIVE_UP_MS,
        everyMs: EVERY_MS,
      });
      return [lane, at - from];
    };
    return Object.fromEntries(await Promise.all(LANES.map(arrived))) as Record<Lane, number>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#clock);
    this.#over.abort();
    await Promise.allSettled(this.#clients.map((client) => client.stop()));
  }

  #send(): void {
    if (this.#inFlight >= MAX_IN_FLIGHT) return;
    const n = this.#next++;
    this.#inFlight++;
    const signal = AbortSignal.any([this.#over.signal, AbortSignal.timeout(GIVE_UP_MS)]);
    fetch(this.#system.postUrl(LANES[n % LANES.length]!), { method: "POST", body: String(n), signal })
      .then((answer) => answer.arrayBuffer())
      // A listener that is dead refuses, and one whose NATS is dead says 503: the next reading is the next try.
      .catch(() => undefined)
      .finally(() => {
        this.#inFlight--;
      });
  }
}

/** Figure `route_edit_ms`: from the edited file to the first reading at the app it names, the longest of ten edits. */
export async function measureRouteEdit(system: Recoverable): Promise<Figures> {
  await using probe = new Probe(system);
  const apps = ["recovery-a", "recovery-b"];
  for (const app of apps) await probe.addApp(app);
  await probe.untilDelivered(apps[0]!, () => system.writeRoute(apps[0]!));
  let longest = 0;
  for (let edit = 1; edit <= ROUTE_EDITS; edit++) {
    // Not in step with whatever clock the system looks at its files by.
    await delay(300 + Math.random() * 700);
    const app = apps[edit % 2]!;
    const { telemetry, event } = await probe.untilDelivered(app, () => system.writeRoute(app));
    longest = Math.max(longest, telemetry, event);
  }
  return { route_edit_ms: significant(longest) };
}

/**
 * Figures `telemetry_ms`, `event_ms` and `ready_ms`: from kill -9 to the first reading at the app that was sent after it, and until the
 * new process calls itself ready.
 * @throws AppError `internal.invalid_argument` when the system has no such process
 */
export async function measureKill(system: Recoverable, name: string): Promise<Figures> {
  await using probe = new Probe(system);
  await probe.addApp("recovery-a");
  await probe.untilDelivered("recovery-a", () => system.writeRoute("recovery-a"));
  await delay(SETTLE_MS);
  const pid = system.pidOf(name);
  if (pid === undefined) throw new AppError("internal.invalid_argument", `there is no process ${name}`);
  const from = performance.now();
  const delivered = probe.untilDelivered("recovery-a", () => process.kill(pid, "SIGKILL"));
  const ready = waitFor(async () => system.pidOf(name) !== pid && (await system.isReady(name)), {
    what: `${name} to be ready again`,
    deadlineMs: GIVE_UP_MS,
    everyMs: EVERY_MS,
  }).then(() => performance.now() - from);
  const [{ telemetry, event }, readyMs] = await Promise.all([delivered, ready]);
  return {
    telemetry_ms: significant(telemetry),
    event_ms: significant(event),
    ready_ms: significant(readyMs),
  };
}
