import { control } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { AppDirectory } from "./app-directory.js";
import { DeviceDirectory } from "./device-directory.js";
import { GroupDirectory, homeNamed, nameOfHome } from "./group-directory.js";
import { ListenerDirectory } from "./listener-directory.js";
import { SubscriberIndex } from "./matcher/subscriber-index.js";
import { ToldWills, WillRoom } from "./told-wills.js";

const instance = (app: string, name: string, filters: string[], more: object = {}) =>
  control.AppInstance.fromPartial({
    app,
    instance: name,
    healthy: true,
    subscriptions: filters.map((filter) => ({ filter })),
    ...more,
  });

function apps(limits: { maxApps?: number; maxBridges?: number } = {}) {
  const clock = new FakeClock();
  const events: string[] = [];
  let sequence = 0;
  const directory = new AppDirectory({
    clock,
    creditShare: () => 0.5,
    ...limits,
    events: {
      instancesChanged: (app, gone) => events.push(`${app} changed ${gone.length}`),
      subscriptionsChanged: (app, record, keep) =>
        events.push(`${app} wants ${record.subscriptions.map((s) => s.filter)}${keep ? "!" : ""}`),
      appDeleted: (app) => events.push(`${app} deleted`),
      appRefused: (app, { code }) => events.push(`${app} ${code}`),
    },
  });
  const announce = (instances: control.AppInstance[], incarnation = 1, bridge = "b") =>
    directory.announced({ bridge, incarnation, instances, sequence: ++sequence });
  const running = (app: string) => [...directory.instances(app)].map((i) => i.instance);
  return { clock, directory, events: () => events.splice(0), announce, running };
}

describe("AppDirectory", () => {
  it("unites the subscriptions of an app's instances and keeps them while none runs", () => {
    const { announce, events, running } = apps();
    announce([instance("a", "1", ["x"]), instance("a", "2", ["y", "not/#/valid"])]);
    expect(events()).toEqual(["a wants x,y!", "a changed 0"]);
    announce([instance("a", "2", ["y"])]);
    expect(events()).toEqual(["a wants y!", "a changed 1"]);
    announce([]);
    expect([events(), running("a")]).toEqual([["a changed 1"], []]);
  });

  it("refuses apps and bridges beyond its limits aloud, until there is room", () => {
    const { announce, events, directory } = apps({ maxApps: 2, maxBridges: 1 });
    announce(["a", "b", "c"].map((name) => instance(name, "1", ["x"])));
    expect(events().filter((e) => e.includes("limit"))).toEqual(["c limit.apps"]);
    announce([instance("c", "1", ["x"])]);
    expect(events()).toContain("c limit.apps");
    directory.delete("a");
    announce([instance("c", "1", ["x"])]);
    expect(events()).toContain("c wants x!");
    announce([instance("b", "2", ["x"])], 1, "another bridge");
    expect(events()).toEqual(["b limit.apps"]);
  });

  it("ignores an announcement that was overtaken", () => {
    const { directory, running } = apps();
    const at = (sequence: number, names: string[]) =>
      directory.announced({
        bridge: "b",
        incarnation: 1,
        sequence,
        instances: names.map((n) => instance("a", n, [])),
      });
    at(2, ["1", "2"]);
    at(1, ["1"]);
    expect(running("a")).toEqual(["1", "2"]);
  });

  it("takes a silent bridge out of work but says that its instances may live on", async () => {
    const { clock, directory, announce, events, running } = apps();
    announce([instance("a", "1", ["x"])]);
    events();
    await clock.advance(3_000);
    directory.sweep();
    expect([events(), running("a")]).toEqual([["a changed 0"], []]);
    announce([instance("a", "1", ["x"])]);
    expect([events(), running("a")]).toEqual([["a changed 0"], ["1"]]);
  });

  it("says which instances of a silent bridge did not live on", async () => {
    const { clock, directory, announce, events } = apps();
    announce([instance("a", "1", ["x"])]);
    await clock.advance(3_000);
    directory.sweep();
    events();
    announce([], 2);
    expect(events()).toEqual(["a changed 1"]);
  });

  it("gives no work to what is unhealthy or draining, and half of the credit to who owns half", () => {
    const { directory, announce } = apps();
    announce([
      instance("a", "1", ["x"], { creditEnvelopes: 100, creditBytes: 1_000 }),
      instance("a", "2", ["x"], { healthy: false }),
      instance("a", "3", ["x"], { draining: true }),
    ]);
    const [one, two, three] = [...directory.instances("a")];
    expect([one!.eligible, two!.eligible, three!.eligible]).toEqual([true, false, false]);
    const waiter = { urgent: true, windowOpened: () => undefined };
    expect([one!.window.take(50, 10, waiter), one!.window.take(1, 1, waiter)]).toEqual([true, false]);
  });

  it("restores stored apps, and an app that is deleted comes back only by announcing itself", () => {
    const { directory, announce, events } = apps();
    directory.restore({ app: "a", subscriptions: [] });
    expect(events()).toEqual(["a wants "]);
    directory.delete("a");
    directory.delete("a");
    // Told each time: something may be left of it that an earlier process knew.
    expect(events()).toEqual(["a deleted", "a deleted"]);
    announce([instance("a", "1", ["x"])]);
    directory.delete("a");
    events();
    announce([instance("a", "1", ["x"])]);
    expect(events()).toEqual(["a wants x!", "a changed 0"]);
  });
});

const change = (deviceId: string, online: boolean, connectionEpoch: number, atUs = 1) =>
  control.PresenceChange.fromPartial({ deviceId, online, connectionEpoch, atUs });

describe("DeviceDirectory", () => {
  const batch = (listener: string, changes: control.PresenceChange[], more: object = {}) =>
    control.PresenceBatch.fromPartial({ listener, incarnation: 1, changes, ...more });

  it("follows a device from listener to listener, whoever reports first", () => {
    const directory = new DeviceDirectory(new ToldWills(new WillRoom(0)), () => 0);
    directory.apply(batch("one", [change("d", true, 1, 10)]));
    directory.apply(batch("two", [change("d", true, 1, 20)]));
    directory.apply(batch("one", [change("d", false, 1, 30)]));
    expect(directory.find("", "d")?.listener).toBe("two");
    directory.apply(batch("one", [change("d", true, 1, 10)]));
    expect(directory.find("", "d")?.listener).toBe("two");
  });

  it("does not let the end of an older connection end the newer one", () => {
    const directory = new DeviceDirectory(new ToldWills(new WillRoom(0)), () => 0);
    directory.apply(batch("one", [change("d", true, 2)]));
    directory.apply(batch("one", [change("d", false, 1), change("d", true, 1)]));
    expect(directory.find("", "d")?.connectionEpoch).toBe(2);
    directory.apply(batch("one", [change("d", false, 2)]));
    expect(directory.size).toBe(0);
  });

  it("forgets what a listener said before a replay, a restart, or its end", () => {
    const directory = new DeviceDirectory(new ToldWills(new WillRoom(0)), () => 0);
    directory.apply(batch("one", [change("a", true, 1), change("b", true, 2)]));
    directory.apply(batch("one", [change("b", true, 2)], { reset: true }));
    expect([directory.find("", "a"), directory.find("", "b")?.listener]).toEqual([undefined, "one"]);
    directory.apply(batch("one", [change("c", true, 1)], { incarnation: 2 }));
    expect([directory.size, directory.find("", "c")?.incarnation]).toEqual([1, 2]);
    directory.forget("one");
    expect(directory.size).toBe(0);
  });
});

describe("ListenerDirectory", () => {
  function listeners() {
    const clock = new FakeClock();
    const log: string[] = [];
    const directory = new ListenerDirectory({
      clock,
      filters: {
        add: (l, f) => log.push(`${l}+${f}`),
        remove: (l, f) => log.push(`${l}-${f}`),
        retell: (l) => log.push(`${l} tells again`),
        told: (l) => log.push(`${l} has told`),
        drop: (l) => log.push(`${l} holds nothing`),
      },
      groups: new GroupDirectory({
        index: new SubscriberIndex(),
        targetOf: (name) => ({ index: 0, kind: "group", name }),
        onChange: (key) => log.push(`${key} changed`),
      }),
      events: {
        listenerUp: (l) => log.push(`${l} up`),
        listenerGone: (l) => log.push(`${l} gone`),
        replayNeeded: (l) => log.push(`${l}?`),
        applied: (l, incarnation, sequence) => log.push(`${l}.${incarnation} to ${sequence}`),
      },
    });
    const interest = (sequence: number, added: string[], removed: string[] = [], more: object = {}) =>
      directory.interest(
        control.InterestBatch.fromPartial({
          listener: "l",
          incarnation: 1,
          sequence,
          added,
          removed,
          ...more,
        }),
      );
    return { clock, directory, interest, log: () => log.splice(0) };
  }

  it("follows changes and asks for everything when it missed one", () => {
    const { interest, log } = listeners();
    interest(1, ["a"], [], { reset: true });
    interest(2, ["b"], ["a"]);
    expect(log()).toEqual(["l up", "l tells again", "l+a", "l-a", "l+b"]);
    interest(4, ["c"]);
    interest(2, ["z"]);
    expect(log()).toEqual(["l?"]);
    interest(4, ["b", "c"], [], { reset: true });
    expect(log()).toEqual(["l tells again", "l+b", "l+c"]);
    interest(5, []);
    expect(log()).toEqual(["l has told"]);
  });

  it("confirms what is in force once for the batches of a turn, and nothing while it is told again what it has missed", async () => {
    const { interest, log } = listeners();
    const confirmed = async (): Promise<string[]> => {
      await Promise.resolve();
      return log().filter((line) => line.includes(" to "));
    };
    interest(1, ["a"], [], { reset: true });
    expect(await confirmed()).toEqual([]);
    interest(2, []);
    expect(await confirmed()).toEqual(["l.1 to 2"]);
    interest(3, ["b"]);
    interest(4, ["c"]);
    expect(await confirmed()).toEqual(["l.1 to 4"]);
    // Another dispatcher has asked for everything; this one has it.
    interest(5, ["a"], [], { reset: true });
    expect(await confirmed()).toEqual(["l.1 to 5"]);
    interest(6, ["b", "c"]);
    interest(7, []);
    expect(await confirmed()).toEqual(["l.1 to 7"]);
    interest(9, ["e"]);
    expect(await confirmed()).toEqual([]);
    interest(10, ["a"], [], { reset: true });
    interest(11, ["b", "c", "d"]);
    expect(await confirmed()).toEqual([]);
    interest(12, ["e"]);
    interest(13, []);
    expect(await confirmed()).toEqual(["l.1 to 13"]);
  });

  it("follows the groups of shared subscriptions like the filters", () => {
    const { interest, log, directory } = listeners();
    const groups = (...counts: [string, number][]) => ({
      groups: counts.map(([key, members]) => ({ key, members })),
    });
    interest(1, [], [], { reset: true });
    interest(2, [], [], groups(["$share/g/a", 2], ["$share/h/a", 1]));
    expect(log()).toEqual(["l up", "l tells again", "$share/g/a changed", "$share/h/a changed"]);
    expect([...directory.groups.membersOf("$share/g/a")]).toEqual([["l", 2]]);
    interest(3, [], [], { reset: true });
    interest(4, [], [], groups(["$share/g/a", 2]));
    expect(log()).toEqual(["l tells again"]);
    interest(5, []);
    expect(log()).toEqual(["l has told", "$share/h/a changed"]);
    directory.heartbeat(control.Heartbeat.fromPartial({ instance: "l", incarnation: 2 }));
    expect(log()).toEqual(["l holds nothing", "$share/g/a changed", "l gone", "l up"]);
    expect(directory.groups.has("$share/g/a")).toBe(false);
  });

  it("counts the sessions of a home as members of a group: those who are away while nobody is connected", () => {
    const { interest, log, directory } = listeners();
    const { groups } = directory;
    const members = (): unknown => Object.fromEntries(groups.membersOf("$share/g/a"));
    groups.setHome(3, "$share/g/a", 0, 2);
    groups.setHome(3, "$share/g/a", 0, 2);
    groups.setHome(4, "$share/g/a", 0, 1);
    expect(log()).toEqual(["$share/g/a changed", "$share/g/a changed"]);
    expect(members()).toEqual({ [nameOfHome(3)]: 2, [nameOfHome(4)]: 1 });
    expect(homeNamed(nameOfHome(3))).toBe(3);
    expect([groups.isPresentBeside(3, "$share/g/a"), [...groups.ofHome(4)]]).toEqual([false, ["$share/g/a"]]);
    groups.setHome(4, "$share/g/a", 1, 0);
    expect(members()).toEqual({ [nameOfHome(3)]: 0, [nameOfHome(4)]: 1 });
    expect([3, 4].map((home) => groups.isPresentBeside(home, "$share/g/a"))).toEqual([true, false]);
    groups.setHome(4, "$share/g/a", 0, 1);
    interest(1, [], [], { reset: true });
    interest(2, [], [], { groups: [{ key: "$share/g/a", members: 2 }] });
    expect(members()).toEqual({ l: 2, [nameOfHome(3)]: 0, [nameOfHome(4)]: 0 });
    groups.drop("l");
    for (const home of [3, 4]) groups.setHome(home, "$share/g/a", 0, 0);
    expect(groups.has("$share/g/a")).toBe(false);
  });

  it("forgets the filters of a listener that is silent or was restarted", async () => {
    const { interest, log, clock, directory } = listeners();
    interest(1, ["a"], [], { reset: true });
    interest(1, ["b"], [], { reset: true, incarnation: 2 });
    expect(log()).toEqual([
      ...["l up", "l tells again", "l+a"],
      ...["l holds nothing", "l gone", "l up", "l tells again", "l+b"],
    ]);
    await clock.advance(3_000);
    directory.sweep();
    expect([log(), directory.incarnationOf("l")]).toEqual([["l holds nothing", "l gone"], undefined]);
  });
});
