import { BatchView } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it, vi } from "vitest";
import { World } from "./sim/sim-world.js";

/** One thing that may happen; the mix is what each schedule draws from. */
const happenings = fc.oneof(
  { weight: 12, arbitrary: fc.constant("produce" as const) },
  { weight: 12, arbitrary: fc.constant("acknowledge" as const) },
  { weight: 20, arbitrary: fc.constant("turn" as const) },
  { weight: 2, arbitrary: fc.constant("long-turn" as const) },
  { weight: 2, arbitrary: fc.constant("announce" as const) },
  { weight: 1, arbitrary: fc.constant("crash" as const) },
  { weight: 1, arbitrary: fc.constant("hand-over" as const) },
  { weight: 1, arbitrary: fc.constant("lose-instance" as const) },
  { weight: 1, arbitrary: fc.constant("sick-instance" as const) },
  { weight: 2, arbitrary: fc.constant("mend-instances" as const) },
  { weight: 1, arbitrary: fc.constant("store-trouble" as const) },
  { weight: 1, arbitrary: fc.constant("lost-messages" as const) },
);

const INSTANCES = [
  ["a", "a1"],
  ["a", "a2"],
  ["b", "b1"],
] as const;

async function happen(world: World, what: string): Promise<void> {
  const instance = () => world.choices.pick(INSTANCES)[1];
  if (what === "produce") world.produce();
  else if (what === "acknowledge") world.bridge.acknowledgeSome(false);
  else if (what === "turn") await world.turn(7);
  else if (what === "long-turn") await world.turn(1_300);
  else if (what === "announce") world.bridge.announce();
  else if (what === "crash") {
    await world.crash();
    await world.start();
  } else if (what === "hand-over") await world.handOver();
  else if (what === "lose-instance") world.bridge.disconnect(instance());
  else if (what === "sick-instance") world.bridge.setHealthy(instance(), false);
  else if (what === "mend-instances") mend(world);
  else if (what === "store-trouble") world.nats.failRate = world.nats.failRate > 0 ? 0 : 0.3;
  else world.nats.lossRate = world.nats.lossRate > 0 ? 0 : 0.1;
}

function mend(world: World): void {
  for (const [app, instance] of INSTANCES) {
    if (world.bridge.isConnected(instance)) world.bridge.setHealthy(instance, true);
    else world.bridge.connect(app, instance);
  }
}

/** What an app saw, judged: nothing missing, first deliveries in order, doubles flagged. */
function judge(world: World, app: string): string[] {
  const complaints: string[] = [];
  const highest = new Map<string, number>();
  const known = new Set<string>();
  for (const { device, number, redelivered } of world.bridge.seen.get(app) ?? []) {
    const key = `${device}#${number}`;
    if (known.has(key)) {
      if (!redelivered) complaints.push(`${app} saw ${key} twice, unflagged`);
      continue;
    }
    known.add(key);
    const before = highest.get(device) ?? 0;
    if (number < before) complaints.push(`${app} saw ${key} for the first time after ${device}#${before}`);
    highest.set(device, Math.max(before, number));
  }
  for (const [device, sent] of world.sent) {
    for (let n = 1; n <= sent; n++) {
      if (!known.has(`${device}#${n}`)) complaints.push(`${app} never saw ${device}#${n}`);
    }
  }
  return complaints;
}

async function check(world: World, schedule: readonly string[]): Promise<void> {
  for (const [app, instance] of INSTANCES) world.bridge.connect(app, instance);
  await world.start();
  for (const what of schedule) await happen(world, what);
  mend(world);
  expect(await world.quiesce()).toBe(true);
  expect([...judge(world, "a"), ...judge(world, "b")]).toEqual([]);
  const books = [...world.dispatcher!.ledger.all()].map((a) => [a.hop, a.target, a.unaccounted]);
  expect(books).toEqual(books.map(([hop, target]) => [hop, target, 0]));
  await world.crash();
}

describe("a defect in routing", () => {
  it("leaves the events with the unrouted, counted, and lets the stream go on", async () => {
    const world = new World({ seed: 1, devices: 3 });
    for (const [app, instance] of INSTANCES) world.bridge.connect(app, instance);
    await world.start();
    for (let i = 0; i < 40; i++) await world.turn(20);
    const { plans } = world.dispatcher!;
    const find = vi.spyOn(plans, "find").mockImplementationOnce(() => {
      throw new RangeError("a defect");
    });
    world.produce();
    for (let i = 0; i < 20; i++) await world.turn(20);
    expect(find).toHaveBeenCalled();
    const lost = [...world.sent.values()].reduce((sum, n) => sum + n, 0);
    world.produce();
    expect(await world.quiesce()).toBe(true);
    const kept = world.nats.unrouted.flatMap((data) => [...payloads(data)]);
    expect([kept.length, world.dispatcher!.routingErrors]).toEqual([lost, lost]);
    const sent = [...world.sent.values()].reduce((sum, n) => sum + n, 0);
    expect(world.bridge.seen.get("b")).toHaveLength(sent - lost);
    const books = [...world.dispatcher!.ledger.all()].map((a) => a.unaccounted);
    expect(books).toEqual(books.map(() => 0));
    await world.crash();
  });
});

function* payloads(data: Buffer): Iterable<string> {
  const view = new BatchView().reset(data);
  while (view.next()) yield view.payload().toString();
}

/** A schedule costs about a millisecond; raise it when the machinery was changed. */
const RUNS = 250;

describe("an owned partition", () => {
  it("counts a batch as routed until its acknowledgement leaves, though its targets are done with it", async () => {
    const world = new World({ seed: 1, devices: 3 });
    for (const [app, instance] of INSTANCES) world.bridge.connect(app, instance);
    await world.start();
    for (let i = 0; i < 40; i++) await world.turn(20);
    world.nats.areBooksLate = true;
    for (let i = 0; i < 5; i++) world.produce();
    for (let i = 0; i < 40; i++) {
      world.bridge.acknowledgeSome(false);
      await world.turn(20);
    }
    const [partition] = world.dispatcher!.partitions.values();
    expect([partition!.pending, partition!.routed]).toEqual([0, 5]);
    await world.crash();
  });

  it("loses no event, keeps the order per device and flags doubles, whatever dies or is slow", async () => {
    const schedules = fc.array(happenings, { minLength: 20, maxLength: 150 });
    await fc.assert(
      fc.asyncProperty(fc.nat(), schedules, async (seed, schedule) => {
        await check(new World({ seed, devices: 3 }), schedule);
      }),
      { numRuns: RUNS },
    );
  });

  it("keeps the order of a producer whose batches were stored in another one", async () => {
    const schedules = fc.array(happenings, { minLength: 20, maxLength: 100 });
    await fc.assert(
      fc.asyncProperty(fc.nat(), schedules, async (seed, schedule) => {
        const calm = schedule.filter((what) => what !== "crash" && what !== "hand-over");
        const world = new World({ seed, devices: 3, reorders: true });
        await check(world, calm);
      }),
      { numRuns: RUNS },
    );
  });
});
