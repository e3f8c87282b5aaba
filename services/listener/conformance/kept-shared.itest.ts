/** Sessions that outlive their connections as members of shared subscriptions: who gets what waits, and that it is one of them. */
import type { DispatcherService } from "@myelin/dispatcher";
import { waitFor } from "@myelin/testkit";
import { Store } from "mqtt";
import { describe, expect, it } from "vitest";
import {
  acknowledged,
  type Client,
  connect,
  messages,
  numbers,
  packets,
  publish,
  World,
} from "./session-world.js";

async function allAway({ sessions }: DispatcherService): Promise<void> {
  const homes = () => [...sessions.homes.values()];
  await waitFor(
    () => homes().every(({ store }) => [...(store?.all() ?? [])].every(({ link }) => link === undefined)),
    {
      what: "all clients to be away",
      deadlineMs: 10_000,
    },
  );
}

describe("a session that is a member of a shared subscription", () => {
  it("keeps what comes while all its members are away, for whoever comes first, wherever that is", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const two = await world.listener("listener-1");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    // Their homes are of both partitions.
    const names = numbers(0, 6).map((i) => `worker-${i}`);
    for (const [i, name] of names.entries()) {
      const worker = await connect(i % 2 === 0 ? one : two, name);
      await worker.mqtt.subscribeAsync("$share/workers/plant/#", { qos: i < 3 ? 1 : 2 });
      await worker.cut();
    }
    await allAway(core);
    await publish(sender, 0, 60, 2);
    await waitFor(() => core.sessions.figures.queued === 60, { what: "all to wait", deadlineMs: 10_000 });
    await core.stop();
    const next = await world.dispatcher("core-2");
    const back = await connect(two, names[4]!);
    expect((await back.texts(60)).sort()).toEqual(numbers(0, 60).sort());
    await acknowledged(next);
    await back.cut();
    await allAway(next);
    await publish(sender, 60, 80);
    // A member without a session, on another listener.
    await using visitor = await connect(one, "visitor", { clean: true });
    await visitor.mqtt.subscribeAsync("$share/workers/plant/#", { qos: 1 });
    expect((await visitor.texts(20)).sort()).toEqual(numbers(60, 80).sort());
    await acknowledged(next);
    expect(back.received).toHaveLength(60);
  });

  it("shares with others in QoS 2 without a loss or a double, whoever of them comes and goes", async () => {
    await using world = await World.open();
    const listeners = [await world.listener("listener-0"), await world.listener("listener-1")];
    const core = await world.dispatcher();
    await using sender = await connect(listeners[0]!, "sender", { clean: true });
    const members: Client[] = [];
    const stores = new Map<string, Store>();
    const seen = (): string[] => members.flatMap(({ received }) => received.map(({ text }) => text));
    const join = async (i: number, name: string): Promise<Client> => {
      // What it has of QoS 2 and is not released it knows over its connections.
      const incomingStore = stores.get(name) ?? new Store({ clean: false });
      stores.set(name, incomingStore);
      const member = await connect(listeners[i % 2]!, name, { incomingStore });
      members.push(member);
      return member;
    };
    const names = ["a", "b", "c", "d"];
    for (const [i, name] of names.entries()) {
      const member = await join(i, name);
      await member.mqtt.subscribeAsync("$share/g/plant/#", { qos: 2 });
      await member.mqtt.endAsync();
    }
    for (let round = 0; round < 6; round++) {
      const present = await Promise.all([0, 1].map((k) => join(round + k, names[(round + k) % 4]!)));
      await publish(sender, round * 50, round * 50 + 50, 2);
      // Gently: what the client has taken is acknowledged, what it has not it leaves.
      await Promise.all(present.map((member) => member.mqtt.endAsync()));
    }
    const last = await Promise.all(names.map((name, i) => join(i, name)));
    await waitFor(() => new Set(seen()).size === 300, { what: "all of them", deadlineMs: 20_000 });
    await acknowledged(core);
    expect(seen()).toHaveLength(300);
    for (const member of last) await member.cut();
  });

  it("that ends leaves what it had of a shared subscription to another member", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    const ending = await packets(one, "ending");
    ending.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "$share/g/plant/#", qos: 1 }] });
    await ending.next("suback");
    await publish(sender, 0, 5);
    expect(await messages(ending, 5)).toHaveLength(5);
    await using visitor = await connect(one, "visitor", { clean: true });
    await visitor.mqtt.subscribeAsync("$share/g/plant/#", { qos: 1 });
    // A clean start ends the session before.
    await using again = await connect(one, "ending", { clean: true });
    expect((await visitor.texts(5)).sort()).toEqual(numbers(0, 5));
    await acknowledged(core);
    expect(again.received).toEqual([]);
  });
});
