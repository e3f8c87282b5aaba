import { AppError, type Clock, FakeClock, type Timer } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { KeyValue, KeyValueEntry, LiveInstance, Ownership, ReleaseReason } from "./api.js";
import { FENCE_MS, preferredOwners, TAKE_OVER_MS } from "./lease.js";
import { LeasedPartitionOwner } from "./partition-owner.js";

const PARTITIONS = 4;

/** The bucket: revisions grow by one, writes compare, and every answer takes the time and the luck of the schedule. */
class TestStore {
  readonly #entries = new Map<string, KeyValueEntry>();
  #revision = 0;

  put(key: string, value: Uint8Array, expected: number): number {
    if ((this.#entries.get(key)?.revision ?? 0) !== expected) {
      throw new AppError("store.conflict", `${key} has another revision than ${expected}`);
    }
    this.#revision += 1;
    this.#entries.set(key, { key, value, revision: this.#revision });
    return this.#revision;
  }
  entries(): KeyValueEntry[] {
    return [...this.#entries.values()];
  }
  owner(partition: number): string {
    const entry = this.#entries.get(String(partition));
    return entry === undefined
      ? ""
      : (JSON.parse(Buffer.from(entry.value).toString()) as { owner: string }).owner;
  }
}

/** One process: its timers and answers wait while it is frozen, as after SIGSTOP; its clock goes on. */
class TestProcess implements Clock {
  readonly instance: string;
  readonly log: string[] = [];
  readonly held = new Map<number, Ownership>();
  readonly owner: LeasedPartitionOwner;
  alive = true;
  latencyMs = 0;
  /** Answers that do not come, and writes that do not arrive. */
  luck: "good" | "no_answer" | "no_request" = "good";
  releaseMs = 0;
  readonly #time: FakeClock;
  #frozen = false;
  #late: (() => void)[] = [];

  constructor(time: FakeClock, store: TestStore, instance: string, instances: Map<string, LiveInstance>) {
    this.#time = time;
    this.instance = instance;
    this.owner = new LeasedPartitionOwner({
      partitions: PARTITIONS,
      instance,
      incarnation: Math.floor(time.nowMs()) + 1,
      store: async () => this.#slow(store),
      liveness: { instances },
      logger: silentLogger,
      clock: this,
    });
    this.owner.onChange({
      acquired: async (ownership) => {
        this.held.set(ownership.partition, ownership);
        this.log.push(`+${ownership.partition}`);
      },
      released: async (ownership: Ownership, reason: ReleaseReason) => {
        if (this.releaseMs > 0 && reason !== "lost") await this.sleep(this.releaseMs);
        this.held.delete(ownership.partition);
        this.log.push(`-${ownership.partition} ${reason}`);
      },
    });
  }

  holds(partition: number): boolean {
    return this.alive && this.held.get(partition)?.held === true;
  }
  freeze(): void {
    this.#frozen = true;
  }
  thaw(): void {
    this.#frozen = false;
    for (const run of this.#late.splice(0)) run();
  }
  kill(): void {
    this.alive = false;
  }

  nowMs(): number {
    return this.#time.nowMs();
  }
  wallMs(): number {
    return this.#time.wallMs();
  }
  wallUs(): number {
    return this.#time.wallUs();
  }
  setTimeout(callback: () => void, ms: number): Timer {
    return this.#time.setTimeout(() => this.#run(callback), ms);
  }
  setInterval(callback: () => void, ms: number): Timer {
    return this.#time.setInterval(() => this.#run(callback), ms);
  }
  clear(timer: Timer | undefined): void {
    this.#time.clear(timer);
  }
  sleep(ms: number): Promise<void> {
    return new Promise((resolve) => this.setTimeout(resolve, ms));
  }

  #run(callback: () => void): void {
    if (!this.alive) return;
    if (this.#frozen) this.#late.push(callback);
    else callback();
  }

  #slow(store: TestStore): Pick<KeyValue, "entries" | "put"> {
    const call = async <T>(action: () => T): Promise<T> => {
      const { latencyMs, luck } = this;
      const wait = (ms: number): Promise<void> =>
        new Promise((resolve) => this.#time.setTimeout(resolve, ms));
      await wait(latencyMs / 2);
      const outcome = (() => {
        if (luck === "no_request") return { error: new AppError("bus.timeout", "no answer") };
        try {
          return { value: action() };
        } catch (thrown) {
          return { error: AppError.from(thrown) };
        }
      })();
      if (luck !== "good") await wait(2_000);
      await this.sleep(latencyMs / 2);
      if (luck !== "good") throw new AppError("bus.timeout", "no answer");
      if ("error" in outcome) throw outcome.error;
      return outcome.value;
    };
    return {
      entries: () => call(() => store.entries()),
      put: (key, value, expected = 0) => call(() => store.put(key, value, expected)),
    };
  }
}

class World {
  readonly time = new FakeClock();
  readonly store = new TestStore();
  readonly instances = new Map<string, LiveInstance>();
  readonly processes: TestProcess[] = [];
  violations: string[] = [];

  async start(instance: string): Promise<TestProcess> {
    const process = new TestProcess(this.time, this.store, instance, this.instances);
    this.processes.push(process);
    const sinceMs = this.time.nowMs();
    this.instances.set(instance, { instance, incarnation: 1, draining: false, version: "1", sinceMs });
    void process.owner.start();
    await this.run(0);
    return process;
  }

  current(instance: string): TestProcess | undefined {
    return this.processes.findLast((process) => process.instance === instance);
  }

  /** Moves time in small steps and looks after each. */
  async run(ms: number): Promise<void> {
    for (let passed = 0; passed <= ms; passed += 25) {
      await this.time.advance(25);
      for (let p = 0; p < PARTITIONS; p++) {
        const holders = this.processes
          .filter((process) => process.holds(p))
          .map((process) => process.instance);
        if (holders.length > 1)
          this.violations.push(`${this.time.nowMs()}: ${p} held by ${holders.join(" and ")}`);
      }
    }
  }

  owners(): string[] {
    return Array.from({ length: PARTITIONS }, (_, p) =>
      this.processes
        .filter((process) => process.holds(p))
        .map((process) => process.instance)
        .join("+"),
    );
  }
}

const fair = (...instances: string[]): (string | undefined)[] => preferredOwners(PARTITIONS, instances);

describe("preferred owners", () => {
  it("have equal shares, whatever their names, and move little when one more comes", () => {
    const name = fc.string({ minLength: 1 });
    const names = fc.uniqueArray(name, { minLength: 1, maxLength: 8 });
    fc.assert(
      fc.property(names, fc.integer({ min: 1, max: 64 }), (instances, partitions) => {
        const owners = preferredOwners(partitions, instances);
        const shares = instances.map((instance) => owners.filter((owner) => owner === instance).length);
        expect(shares.reduce((sum, share) => sum + share, 0)).toBe(partitions);
        expect(Math.max(...shares)).toBeLessThanOrEqual(Math.ceil(partitions / instances.length));
        expect(preferredOwners(partitions, instances.toReversed())).toEqual(owners);
      }),
    );
    const two = preferredOwners(64, ["dispatcher-0", "dispatcher-1"]);
    const three = preferredOwners(64, ["dispatcher-0", "dispatcher-1", "dispatcher-2"]);
    expect(two.filter((owner, p) => owner !== three[p]).length).toBeLessThan(40);
    expect(preferredOwners(2, [])).toEqual([undefined, undefined]);
  });
});

describe("partition ownership", () => {
  it("gives everything to the only instance at once", async () => {
    const world = new World();
    await world.start("a");
    await world.run(300);
    expect(world.owners()).toEqual(["a", "a", "a", "a"]);
  });

  it("hands over to a new instance what prefers it, and takes it back when that ends", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(1_000);
    const b = await world.start("b");
    await world.run(8_000);
    expect(world.owners()).toEqual(fair("a", "b"));
    expect(new Set(world.owners()).size).toBe(2);
    expect(a.log.filter((line) => line.startsWith("-"))).toEqual(
      b.log.map((line) => `-${line.slice(1)} handover`),
    );
    world.instances.delete("b");
    const stopped = b.owner.stop();
    await world.run(1_000);
    await stopped;
    expect(world.owners()).toEqual(["a", "a", "a", "a"]);
    expect(world.violations).toEqual([]);
  });

  it("keeps the lease while the work of a partition ends, and grows the epoch with each owner", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(500);
    const before = [...a.held.values()].map((ownership) => ownership.epoch);
    a.releaseMs = 3_000;
    const b = await world.start("b");
    await world.run(3_000);
    expect(b.held.size).toBe(0);
    await world.run(15_000);
    expect(world.owners()).toEqual(fair("a", "b"));
    for (const ownership of b.held.values()) expect(ownership.epoch).toBeGreaterThan(Math.max(...before));
    expect(world.violations).toEqual([]);
  });

  it("takes over from a killed instance, not before its time has run out", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(500);
    const b = await world.start("b");
    await world.run(200);
    expect(b.held.size).toBe(0);
    a.kill();
    world.instances.delete("a");
    await world.run(TAKE_OVER_MS - 600);
    expect(b.held.size).toBe(0);
    await world.run(1_500);
    expect(world.owners()).toEqual(["b", "b", "b", "b"]);
  });

  it("lets a restarted instance take its own leases at once", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(500);
    a.kill();
    const again = await world.start("a");
    await world.run(300);
    expect(again.held.size).toBe(PARTITIONS);
  });

  it("stops by itself when it cannot renew, and goes on with a new epoch when it can", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(500);
    const epoch = a.held.get(0)!.epoch;
    a.luck = "no_request";
    await world.run(FENCE_MS + 600);
    expect(a.held.size).toBe(0);
    expect(a.log).toContain("-0 lost");
    a.luck = "good";
    await world.run(5_000);
    expect(a.held.get(0)!.epoch).toBeGreaterThan(epoch);
  });

  it("knows after a freeze that it may have been followed, before any timer has fired", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(500);
    const ownership = a.held.get(0)!;
    expect(ownership.held).toBe(true);
    a.freeze();
    await world.run(FENCE_MS + 100);
    expect(ownership.held).toBe(false);
    a.thaw();
    await world.run(1_000);
    expect(world.owners()).toEqual(["a", "a", "a", "a"]);
    expect(a.held.get(0)).not.toBe(ownership);
  });

  it("frees everything at its stop and leaves no timer", async () => {
    const world = new World();
    const a = await world.start("a");
    await world.run(500);
    const stopped = a.owner.stop();
    await world.run(500);
    await stopped;
    expect(a.log.filter((line) => line.endsWith("stop"))).toHaveLength(PARTITIONS);
    expect([0, 1, 2, 3].map((p) => world.store.owner(p))).toEqual(["", "", "", ""]);
    expect(world.time.pendingTimers).toBe(0);
  });

  it("never has two owners of a partition at a time, whatever happens to processes, network and store", async () => {
    const names = ["a", "b", "c"];
    const action = fc.record({
      who: fc.constantFrom(...names),
      what: fc.constantFrom(
        "start",
        "kill",
        "restart",
        "freeze",
        "thaw",
        "stop",
        "no_answer",
        "no_request",
        "good",
        "good",
        "slow",
        "fast",
        "sleepy",
      ),
      forMs: fc.integer({ min: 0, max: 2_500 }),
      latencyMs: fc.integer({ min: 0, max: 900 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 3, maxLength: 20 }), async (actions) => {
        const world = new World();
        for (const { who, what, forMs, latencyMs } of actions) {
          const process = world.current(who);
          if (process === undefined || !process.alive) {
            if (what === "start" || what === "restart") await world.start(who);
          } else if (what === "kill") {
            process.kill();
            world.instances.delete(who);
          } else if (what === "restart") {
            process.kill();
            await world.start(who);
          } else if (what === "freeze") process.freeze();
          else if (what === "thaw") process.thaw();
          else if (what === "stop") void process.owner.stop();
          else if (what === "slow") process.latencyMs = latencyMs;
          else if (what === "fast") process.latencyMs = 0;
          else if (what === "sleepy") process.releaseMs = latencyMs * 8;
          else if (what !== "start") process.luck = what;
          await world.run(forMs);
        }
        expect(world.violations).toEqual([]);
        // Whatever it was: when it is over, everything is owned again.
        for (const process of world.processes) process.kill();
        world.instances.clear();
        await world.start("z");
        await world.run(6_000);
        expect(world.owners()).toEqual(["z", "z", "z", "z"]);
      }),
      { numRuns: 150 },
    );
  });
});
