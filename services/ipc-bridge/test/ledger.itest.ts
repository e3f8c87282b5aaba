import { createBus, LedgerKeeper, openKeyValue } from "@myelin/bus";
import { BUCKETS, control, Lane, subjects } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { startWorld } from "./harness.js";
import { connectApp } from "./raw-app.js";

it("the books of a bridge that died are closed by the next start of the same instance", async () => {
  await using world = await startWorld();
  using raw = await connectApp(world.target("socket"), { app: "booked" });
  const [instance] = await world.owner.waitFor("booked");
  const share = { app: "booked", instance: instance!.instance };
  world.owner.deliver({ ...share, lane: Lane.TELEMETRY, payloads: ["1", "2", "3"] });
  world.owner.deliver({ ...share, payloads: ["4", "5"] });
  await raw.payloads(5);
  const kept = await openKeyValue(world.owner.bus, BUCKETS.ledger);
  const key = `ipc-bridge.bridge-0.${world.bridge.core.bus.incarnation}`;
  const isQueued = (value: Uint8Array): boolean =>
    control.LedgerSnapshot.decode(value).accounts.filter((a) => a.queued > 0).length === 2;
  await waitFor(async () => isQueued((await kept.get(key))!.value), { what: "the written books" });

  // As after kill -9: another start of the instance, while the first one never came to its end.
  const bus = createBus({
    servers: [world.nats.url],
    instance: "bridge-0",
    service: "test",
    logger: silentLogger,
  });
  await bus.start(new AbortController().signal);
  const next = new LedgerKeeper({
    service: "ipc-bridge",
    bus,
    clock: systemClock,
    open: () => openKeyValue(bus, BUCKETS.ledger),
    accounts: () => [],
    onWriteFailed: (error) => expect.fail(String(error)),
  });
  await next.start();
  const answers = await world.owner.bus.requestMany(subjects.ledgerQuery(), Buffer.alloc(0), {
    timeoutMs: 2_000,
    maxAnswers: 2,
  });
  const snapshots = answers.map((data) => control.LedgerSnapshot.decode(data));
  const { closed } = snapshots.find((s) => s.incarnation === bus.incarnation)!;
  expect(closed[0]!.accounts).toMatchObject([
    { lane: Lane.TELEMETRY, received: 3, queued: 0, dropped: [{ reason: "process_died", count: 3 }] },
    { lane: Lane.EVENT, received: 2, queued: 0, dropped: [{ reason: "requeued", count: 2 }] },
  ]);
  await next.stop();
  await bus.stop();
});
