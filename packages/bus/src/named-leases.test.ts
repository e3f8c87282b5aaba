import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import type { KeyValueEntry, LiveInstance, NamedLease } from "./api.js";
import { preferredHolder, TAKE_OVER_MS } from "./lease.js";
import { LeasedNames } from "./named-leases.js";

/** A bucket that always answers, and instances that share it; `cut` takes the bucket away from one. */
class World {
  readonly time = new FakeClock();
  readonly instances = new Map<string, LiveInstance>();
  readonly entries = new Map<string, KeyValueEntry>();
  readonly cut = new Set<string>();
  readonly log: string[] = [];
  #revision = 0;

  async start(instance: string, names: readonly string[]): Promise<LeasedNames> {
    const sinceMs = this.time.nowMs();
    this.instances.set(instance, { instance, incarnation: 1, draining: false, version: "1", sinceMs });
    const reach = (): void => {
      if (this.cut.has(instance)) throw new AppError("bus.timeout", "the bucket does not answer");
    };
    const leases = new LeasedNames({
      prefix: "work",
      instance,
      incarnation: 1,
      liveness: { instances: this.instances },
      logger: silentLogger,
      clock: this.time,
      store: async () => ({
        entries: async () => {
          reach();
          return [...this.entries.values()];
        },
        put: async (key, value, expected = 0) => {
          reach();
          if ((this.entries.get(key)?.revision ?? 0) !== expected)
            throw new AppError("store.conflict", `${key} is not at ${expected}`);
          this.entries.set(key, { key, value, revision: ++this.#revision });
          return this.#revision;
        },
      }),
    });
    leases.onChange({
      acquired: async (lease) => void this.log.push(`${instance} +${lease.name}`),
      released: async (lease, reason) => void this.log.push(`${instance} -${lease.name} ${reason}`),
    });
    leases.want(names);
    await leases.start();
    return leases;
  }

  async run(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 25) await this.time.advance(25);
  }
}

const namesOf = (leases: LeasedNames): string[] => leases.held.map(({ name }: NamedLease) => name);

describe("named leases", () => {
  it("give each name to one instance, and keep names apart from partitions", async () => {
    const world = new World();
    const names = ["north", "south", "east", "west"];
    const [a, b] = [await world.start("a", names), await world.start("b", names)];
    await world.run(10_000);
    for (const name of names) {
      const wanted = preferredHolder(`work.${name}`, ["a", "b"]);
      expect([a, b].map((leases) => namesOf(leases).includes(name))).toEqual([
        wanted === "a",
        wanted === "b",
      ]);
    }
    expect([...world.entries.keys()].sort()).toEqual(names.map((name) => `work.${name}`).sort());
  });

  it("go to another instance when the holder can renew no longer, which has stopped before", async () => {
    const world = new World();
    const name = ["north", "south", "east", "west"].find(
      (n) => preferredHolder(`work.${n}`, ["a", "b"]) === "a",
    )!;
    const a = await world.start("a", [name]);
    await world.run(500);
    const epoch = a.held[0]!.epoch;
    const b = await world.start("b", [name]);
    world.cut.add("a");
    world.instances.delete("a");
    await world.run(TAKE_OVER_MS + 1_500);
    expect(world.log).toEqual([`a +${name}`, `a -${name} lost`, `b +${name}`]);
    expect(b.held[0]!.epoch).toBeGreaterThan(epoch);
  });

  it("are freed when a name is wanted no longer, and taken again when it is", async () => {
    const world = new World();
    const a = await world.start("a", ["north"]);
    await world.run(500);
    a.want([]);
    a.want(["north"]);
    await world.run(1_000);
    expect(world.log).toEqual(["a +north", "a -north stop", "a +north"]);
    a.want([]);
    await world.run(1_000);
    expect(a.held).toEqual([]);
    const b = await world.start("b", ["north"]);
    await world.run(100);
    expect(namesOf(b)).toEqual(["north"]);
  });

  it("that are just being taken when nobody wants them any more are not kept", async () => {
    const world = new World();
    const a = await world.start("a", []);
    a.want(["north"]);
    const looked = world.time.advance(250);
    a.want([]);
    await looked;
    await world.run(1_000);
    expect(a.held).toEqual([]);
    const b = await world.start("b", ["north"]);
    await world.run(TAKE_OVER_MS);
    expect(namesOf(b)).toEqual(["north"]);
  });
});
