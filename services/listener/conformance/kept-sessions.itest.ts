/** Sessions that outlive their connections, on whole listeners and dispatchers: what survives what. */
import type { ops } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { OperationsClient } from "../src/core/operations-client.js";
import type { PacketClient } from "./packet-client.js";
import { acknowledged, connect, messages, numbers, packets, publish, World } from "./session-world.js";

describe("a session that outlives its connection", () => {
  it("gives its client what came while it was away, in order, on another listener and after restarts of everything", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const two = await world.listener("listener-1");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    const first = await connect(one, "reader");
    await first.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await publish(sender, 0, 10);
    expect(await first.texts(10)).toEqual(numbers(0, 10));
    await acknowledged(core);
    await first.cut();
    await publish(sender, 10, 20);
    const second = await connect(two, "reader");
    expect(await second.texts(10)).toEqual(numbers(10, 20));
    await acknowledged(core);
    await second.cut();
    await publish(sender, 20, 30);
    await core.kill();
    await world.dispatcher("core-2");
    const third = await connect(two, "reader");
    expect(await third.texts(10)).toEqual(numbers(20, 30));
    await third.cut();
  });

  it("is gone on with by a client that wants none to outlive this connection, and ends with it", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const two = await world.listener("listener-1");
    await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    const first = await connect(one, "reader");
    await first.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await first.cut();
    await publish(sender, 0, 10);
    const none = { protocolVersion: 5, properties: { sessionExpiryInterval: 0 } } as const;
    const last = await connect(two, "reader", none);
    expect(await last.texts(10)).toEqual(numbers(0, 10));
    await last.cut();
    await publish(sender, 10, 20);
    await using anew = await connect(one, "reader", none);
    await anew.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await publish(sender, 20, 21);
    expect(await anew.texts(1)).toEqual(["20"]);
  });

  it("sends again what was not acknowledged, in order, under the same identifiers and marked as such", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const two = await world.listener("listener-1");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    const deaf = await packets(one, "reader");
    deaf.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 1 }] });
    await deaf.next("suback");
    await publish(sender, 0, 5);
    const first = await messages(deaf, 5);
    expect(first.map(({ dup }) => dup)).toEqual([false, false, false, false, false]);
    deaf.send({ cmd: "puback", messageId: first[1]!.messageId! });
    await waitFor(() => core.sessions.figures.queued === 4, { what: "one acknowledgement" });
    deaf.lose();
    const back = await packets(two, "reader");
    expect(back.connack?.sessionPresent).toBe(true);
    const again = await messages(back, 4);
    expect(again.map(({ text, messageId, dup }) => [text, messageId, dup])).toEqual(
      ["0", "2", "3", "4"].map((text) => [text, first[Number(text)]!.messageId, true]),
    );
    for (const { messageId } of again) back.send({ cmd: "puback", messageId: messageId! });
    await acknowledged(core);
    back.lose();
  });

  it("gives messages of QoS 1 and 2 in the order in which they were published, whether its client was away or not", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    const mixed = async (from: number, to: number): Promise<void> => {
      for (let n = from; n < to; n++) {
        await sender.mqtt.publishAsync("plant/a", String(n), { qos: n % 2 === 0 ? 1 : 2 });
      }
    };
    /** Answers at once, so that the window is never full; every other message has QoS 2. */
    const take = async (client: PacketClient, count: number): Promise<string[]> => {
      const texts: string[] = [];
      for (let completed = 0; texts.length < count || completed < count / 2; ) {
        const packet = await client.any();
        if (packet.cmd === "publish") {
          texts.push(packet.payload.toString());
          client.send({ cmd: packet.qos === 1 ? "puback" : "pubrec", messageId: packet.messageId! });
        } else if (packet.cmd === "pubrel") {
          client.send({ cmd: "pubcomp", messageId: packet.messageId! });
          completed++;
        }
      }
      return texts;
    };
    const first = await packets(one, "reader");
    first.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 2 }] });
    await first.next("suback");
    const taken = take(first, 20);
    await mixed(0, 20);
    expect(await taken).toEqual(numbers(0, 20));
    await acknowledged(core);
    first.lose();
    await mixed(20, 40);
    await using back = await packets(one, "reader");
    expect(await take(back, 20)).toEqual(numbers(20, 40));
  });

  it("stores what its client publishes with QoS 1 and 2 in the order in which it came", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    await world.dispatcher();
    await using reader = await connect(one, "reader", { clean: true });
    await reader.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await using sender = await connect(one, "sender");
    const sent = numbers(0, 20).map((text, n) =>
      sender.mqtt.publishAsync("plant/a", text, { qos: n % 2 === 0 ? 2 : 1 }),
    );
    expect(await reader.texts(20)).toEqual(numbers(0, 20));
    await Promise.all(sent);
  });

  it("never gives a message of QoS 2 twice, whichever of its four packets is lost", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    let reader = await packets(one, "reader");
    reader.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 2 }] });
    await reader.next("suback");
    await publish(sender, 0, 1, 2);
    const [{ messageId }] = (await messages(reader, 1)) as unknown as [{ messageId: number }];
    const comeBack = async (): Promise<void> => {
      reader.lose();
      reader = await packets(one, "reader");
    };
    // PUBREC is lost: the message comes again.
    await comeBack();
    expect((await messages(reader, 1)).map((m) => [m.messageId, m.dup])).toEqual([[messageId, true]]);
    reader.send({ cmd: "pubrec", messageId });
    expect((await reader.next("pubrel")).messageId).toBe(messageId);
    // PUBCOMP is lost: PUBREL comes again, and the message does not; over restarts of the home too.
    await comeBack();
    expect((await reader.next("pubrel")).messageId).toBe(messageId);
    reader.lose();
    await core.kill();
    const other = await world.dispatcher("core-2");
    reader = await packets(one, "reader");
    expect((await reader.next("pubrel")).messageId).toBe(messageId);
    reader.send({ cmd: "pubcomp", messageId });
    await acknowledged(other);
    await comeBack();
    expect(await reader.roundTrip()).toEqual([]);
    reader.lose();
  });

  it("takes a message of QoS 2 once, however often its client sends it again", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const two = await world.listener("listener-1");
    const core = await world.dispatcher();
    await using reader = await connect(one, "reader", { clean: true });
    await reader.mqtt.subscribeAsync("plant/#", { qos: 1 });
    let sender = await packets(one, "sender");
    sender.publish("plant/a", "once", { qos: 2, messageId: 7 });
    await sender.next("pubrec");
    for (const rig of [two, one]) {
      sender.lose();
      sender = await packets(rig, "sender");
      sender.publish("plant/a", "once", { qos: 2, messageId: 7, dup: true });
      await sender.next("pubrec");
    }
    sender.send({ cmd: "pubrel", messageId: 7 });
    await sender.next("pubcomp");
    sender.publish("plant/a", "twice", { qos: 2, messageId: 7 });
    await sender.next("pubrec");
    expect(await reader.texts(2)).toEqual(["once", "twice"]);
    sender.lose();
    expect(core.sessions.figures.sessions).toBe(1);
  });

  it("ends when a client begins anew, and when its time is over", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const core = await world.dispatcher();
    const counted = (sessions: number) =>
      waitFor(() => core.sessions.figures.sessions === sessions, { what: `${sessions} sessions` });
    const first = await connect(one, "reader");
    await first.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await first.cut();
    await counted(1);
    const anew = await connect(one, "reader", { clean: true });
    await counted(0);
    await anew.cut();
    const short = await connect(one, "reader", {
      protocolVersion: 5,
      properties: { sessionExpiryInterval: 1 },
    });
    await counted(1);
    await short.cut();
    await counted(0);
    const back = await packets(one, "reader");
    expect(back.connack?.sessionPresent).toBe(false);
    back.lose();
  });

  it("bounds what waits for a client, and counts what it refuses", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const core = await world.dispatcher("core", { sessions: { maxQueuedMessages: 5 } });
    await using sender = await connect(one, "sender", { clean: true });
    const reader = await connect(one, "reader");
    await reader.mqtt.subscribeAsync("plant/#", { qos: 1 });
    await reader.cut();
    await publish(sender, 0, 8);
    await waitFor(() => core.core.ledger.account("sessions", "event").received === 8, {
      what: "all of them",
    });
    const account = core.core.ledger.account("sessions", "event");
    expect([account.dropped.get("session_queue_full"), account.queued(), account.unaccounted]).toEqual([
      3, 5, 0,
    ]);
    const back = await connect(one, "reader");
    expect(await back.texts(5)).toEqual(numbers(0, 5));
    await acknowledged(core);
    expect([account.forwarded, account.unaccounted]).toEqual([5, 0]);
    await back.cut();
  });

  it("is listed with what waits for it, whether its client is away or not, and deleted for good", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const settings = { sessions: { maxQueuedMessages: 2 } };
    const core = await world.dispatcher("core", settings);
    await using sender = await connect(one, "sender", { clean: true });
    const names = numbers(0, 5).map((i) => `reader-${i}`);
    for (const name of names) {
      const reader = await connect(one, name);
      await reader.mqtt.subscribeAsync(["plant/#", `own/${name}`], { qos: 1 });
      await reader.cut();
    }
    const present = await connect(one, "present");
    await present.mqtt.subscribeAsync("present", { qos: 1 });
    await publish(sender, 0, 3);
    const operations = new OperationsClient(one.bus, systemClock);
    const all = async (): Promise<ops.Session[]> => {
      const found: ops.Session[] = [];
      let cursor = "";
      do {
        const page = await operations.sessions({ cursor, limit: 2 });
        found.push(...page.entries);
        cursor = page.next ?? "";
      } while (cursor !== "");
      return found;
    };
    const kept = await waitFor(
      async () => {
        const found = (await all()).filter(({ persistent }) => persistent);
        const isSettled = found.every(
          ({ queued, inflight, connected }) => queued + inflight === (connected ? 0 : 2),
        );
        return found.length === 6 && isSettled ? found : undefined;
      },
      { what: "all sessions, and those who are away with two messages", deadlineMs: 10_000 },
    );
    expect(kept.map(({ client }) => client).sort()).toEqual(["present", ...names]);
    const away = {
      connected: false,
      subscriptions: 2,
      queued: 2,
      inflight: 0,
      dropped: 1,
      service: "dispatcher",
    };
    for (const name of names) expect(kept.find(({ client }) => client === name)).toMatchObject(away);
    expect(kept.find(({ client }) => client === "present")).toMatchObject({ connected: true, dropped: 0 });
    const { entries } = await operations.subscriptions({ topic: "plant/a" });
    expect(entries.map(({ device }) => device).sort()).toEqual(names);
    // Its listener tells, which must be heard of.
    await waitFor(async () => (await operations.subscriptions({ filter: "present" })).entries.length === 1, {
      what: "the subscription of the client that is connected",
      deadlineMs: 10_000,
    });
    const own = await operations.subscriptions({ client: "reader-3", filter: "own/reader-3" });
    expect(own.entries).toMatchObject([{ device: "reader-3", filter: "own/reader-3", qos: 1 }]);

    expect((await operations.deleteSession(undefined, "reader-0")).count).toBe(1);
    const ended = new Promise<void>((resolve) => present.mqtt.once("close", () => resolve()));
    expect((await operations.deleteSession({ name: "" }, "present")).count).toBe(1);
    await ended;
    await expect(operations.deleteSession(undefined, "reader-0")).rejects.toMatchObject({
      code: "device.not_connected",
    });
    await core.kill();
    await world.dispatcher("core", settings);
    const back = await connect(one, "reader-0");
    expect(back.sessionPresent).toBe(false);
    await back.cut();
    const other = await connect(one, "reader-1");
    expect(other.sessionPresent).toBe(true);
    await other.cut();
  });

  it("keeps the bounds of its user's label, also under the next owner", async () => {
    await using world = await World.open();
    const admission = await world.users({ small: "small", other: "unheard" });
    const one = await world.listener("listener-0", admission);
    const labels = { small: { maxQueuedMessages: 2, whenFull: "oldest" } };
    const settings = { sessions: { maxQueuedMessages: 5, labels } };
    const core = await world.dispatcher("core", settings);
    for (const username of ["small", "other", undefined]) {
      const login = username === undefined ? {} : { username, password: "secret" };
      const reader = await connect(one, username ?? "anonymous", login);
      await reader.mqtt.subscribeAsync("plant/#", { qos: 1 });
      await reader.cut();
    }
    await core.kill();
    const next = await world.dispatcher("core", settings);
    await using sender = await connect(one, "sender", { clean: true });
    await publish(sender, 0, 8);
    await waitFor(() => next.core.ledger.account("sessions", "event").received === 3 * 8, {
      what: "all of them",
    });
    const small = await connect(one, "small", { username: "small", password: "secret" });
    expect(await small.texts(2)).toEqual(numbers(6, 8));
    await small.cut();
    for (const username of ["other", undefined]) {
      const login = username === undefined ? {} : { username, password: "secret" };
      const reader = await connect(one, username ?? "anonymous", login);
      expect(await reader.texts(5)).toEqual(numbers(0, 5));
      await reader.cut();
    }
  });

  it("costs no write where clients acknowledge at once", async () => {
    await using world = await World.open();
    const one = await world.listener("listener-0");
    const core = await world.dispatcher();
    await using sender = await connect(one, "sender", { clean: true });
    const reader = await packets(one, "reader");
    reader.send({ cmd: "subscribe", messageId: 1, subscriptions: [{ topic: "plant/#", qos: 1 }] });
    await reader.next("suback");
    const { appends } = core.sessions.figures;
    for (let i = 0; i < 20; i++) {
      const sent = publish(sender, i, i + 1);
      const [{ messageId }] = (await messages(reader, 1)) as unknown as [{ messageId: number }];
      reader.send({ cmd: "puback", messageId });
      await sent;
    }
    await acknowledged(core);
    // One that was late by the clock of a busy machine is written down, and its end too.
    expect(core.sessions.figures.appends - appends).toBeLessThan(10);
    reader.lose();
  });
});
