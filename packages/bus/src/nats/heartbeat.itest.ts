import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { startNats, waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import type { Bus } from "../api.js";
import { createHeartbeat, createLiveness } from "../heartbeat.js";
import { createBus } from "./nats-bus.js";

test("knows who lives, who drains, who has restarted and who has fallen silent, also over an outage of NATS", async () => {
  await using nats = await startNats({ jetstream: false });
  const buses: Bus[] = [];
  const connect = async (instance: string): Promise<Bus> => {
    const bus = createBus({ servers: [nats.url], instance, service: "listener", logger: silentLogger });
    await bus.start(AbortSignal.timeout(10_000));
    buses.push(bus);
    return bus;
  };
  const signal = AbortSignal.timeout(60_000);
  const clock = new FakeClock();
  const liveness = createLiveness(await connect("watcher"), { service: "listener", clock });
  const log: string[] = [];
  liveness.onChange({
    came: ({ instance }) => log.push(`+${instance}`),
    gone: ({ instance }) => log.push(`-${instance}`),
  });
  await liveness.start(signal);
  const first = createHeartbeat(await connect("listener-0"), { service: "listener", version: "1.2" });
  const second = createHeartbeat(await connect("listener-1"), { service: "listener", version: "1.2" });
  const other = createHeartbeat(await connect("core"), { service: "dispatcher", version: "1.2" });
  for (const heartbeat of [first, second, other]) await heartbeat.start(signal);
  await waitFor(() => liveness.instances.size === 2, { what: "both listeners" });
  expect(liveness.instances.get("listener-0")).toMatchObject({ version: "1.2", draining: false });

  second.setDraining(true);
  await waitFor(() => liveness.instances.get("listener-1")?.draining, { what: "the drain" });

  await nats.kill();
  await waitFor(() => buses.every((bus) => !bus.connected), { what: "the outage" });
  await clock.advance(60_000);
  expect(liveness.instances.size).toBe(2);
  await nats.restart();
  await waitFor(() => buses.every((bus) => bus.connected), { what: "the connections", deadlineMs: 15_000 });
  await clock.advance(2_000);
  expect(liveness.instances.size).toBe(2);

  await first.stop();
  const again = createHeartbeat(await connect("listener-0"), { service: "listener", version: "1.3" });
  await again.start(signal);
  await waitFor(() => liveness.instances.get("listener-0")?.version === "1.3", { what: "the restart" });
  await second.stop();
  // Whatever it still said has arrived before its silence is measured.
  for (const bus of [...buses, buses[0]!]) await bus.flush();
  await clock.advance(3_500);
  expect(liveness.instances.size).toBe(0);
  await waitFor(() => liveness.instances.size > 0, { what: "the one that still beats" });
  expect([...liveness.instances.keys()]).toEqual(["listener-0"]);
  const of = (instance: string): string => log.filter((line) => line.endsWith(instance)).join(" ");
  expect(of("listener-0")).toBe("+listener-0 -listener-0 +listener-0 -listener-0 +listener-0");
  expect(of("listener-1")).toBe("+listener-1 -listener-1");
  for (const component of [again, other, liveness, ...buses]) await component.stop();
});
