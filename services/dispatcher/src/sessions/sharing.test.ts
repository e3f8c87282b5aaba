import { session as wire } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { TestHome, turns } from "../../test/support/test-home.js";

const { ReportKind } = wire;
const FILTER = "$share/g/a";
const KEY = "t\0$share/g/a";
const range = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, i) => `${from + i}`);
const textsOf = (home: TestHome, connection: number): string[] =>
  home.sent.filter((one) => one.connection === connection).map(({ text }) => text);
const books = (home: TestHome) => home.ledger.account("sessions", "event");

describe("members of a shared subscription", () => {
  it("take turns while their clients are connected, and those who are away get nothing then", async () => {
    const home = await TestHome.begin();
    for (const i of [1, 2, 3]) await home.begun(i, `c${i}`, FILTER);
    await home.lose(3);
    await home.share(KEY, range(0, 6), 2);
    expect(textsOf(home, 1)).toEqual(["0", "2", "4"]);
    expect(textsOf(home, 2)).toEqual(["1", "3", "5"]);
    expect(home.sent.every(({ qos }) => qos === 2)).toBe(true);
  });

  it("who have more room are given more", async () => {
    const home = await TestHome.begin();
    for (const i of [1, 2]) await home.begun(i, `c${i}`, FILTER);
    await home.share(KEY, range(0, 20));
    expect([textsOf(home, 1).length, textsOf(home, 2).length]).toEqual([10, 10]);
    home.report(
      2,
      ...home.sent
        .filter((s) => s.connection === 2)
        .map((s): [wire.ReportKind, number] => [ReportKind.ACKNOWLEDGED, s.packetId]),
    );
    await turns();
    await home.share(KEY, range(20, 24));
    expect(textsOf(home, 2).slice(10)).toEqual(range(20, 24));
  });

  it("who are all away keep what comes, and the first one to be back gets it from all of them, as far as it has room", async () => {
    const home = await TestHome.begin();
    for (const i of [1, 2]) {
      await home.begun(i, `c${i}`, FILTER, 1);
      await home.lose(i);
    }
    await home.share(KEY, range(0, 16));
    expect(home.sent).toEqual([]);
    await home.begun(5, "c1");
    const first = home.sent.map(({ text }) => text);
    expect(first).toHaveLength(10);
    home.report(5, ...home.sent.map((s): [wire.ReportKind, number] => [ReportKind.ACKNOWLEDGED, s.packetId]));
    await turns();
    expect(new Set(home.sent.map(({ text }) => text))).toEqual(new Set(range(0, 16)));
    expect(home.sent).toHaveLength(16);
  });

  it("who lose their connection leave to others what they have not acknowledged, but for what they were sent as QoS 2", async () => {
    const home = await TestHome.begin();
    await home.begun(1, "c1", FILTER);
    await home.share(KEY, ["once"], 2);
    await home.share(KEY, ["again"], 1);
    await home.begun(2, "c2", FILTER);
    await home.lose(1);
    expect(home.sent.slice(2)).toEqual([{ connection: 2, text: "again", packetId: 1, qos: 1, dup: false }]);
    const { packetId } = home.sent[0]!;
    await home.begun(3, "c1");
    expect(home.sent.slice(3)).toEqual([{ connection: 3, text: "once", packetId, qos: 2, dup: true }]);
  });

  it("leave it to others also when their session ends, or drop what nobody takes", async () => {
    const home = await TestHome.begin();
    for (const i of [1, 2]) await home.begun(i, `c${i}`, FILTER);
    await home.lose(2);
    await home.share(KEY, ["once"], 2);
    await home.share(KEY, ["again"], 1);
    home.report(1, [ReportKind.CLOSED, 0]);
    await turns();
    await home.begun(3, "c2");
    expect(home.sent.slice(2)).toMatchObject([{ connection: 3, text: "again", dup: false }]);
    home.takesElsewhere = false;
    expect(await home.desk.delete("t", "c2")).toBe(true);
    await turns();
    const { received, forwarded, dropped } = books(home);
    expect([received, forwarded, dropped.get("session_ended")]).toEqual([2, 0, 2]);
    expect([home.replay.store.entries, home.sharing.inHand]).toEqual([0, 0]);
  });

  it("who are away give what waits to members elsewhere", async () => {
    const home = await TestHome.begin();
    await home.begun(1, "c1", FILTER);
    await home.lose(1);
    await home.share(KEY, range(0, 5), 2);
    home.elsewhere.add(KEY);
    home.takesElsewhere = false;
    home.sharing.changed(KEY);
    await turns();
    expect(home.given).toEqual([]);
    home.takesElsewhere = true;
    home.sharing.tick();
    await turns();
    expect(home.given).toEqual(range(0, 5));
    expect([books(home).forwarded, home.replay.store.entries]).toEqual([5, 0]);
  });

  it("who come back while their messages are offered elsewhere are not sent those, unless nobody takes them", async () => {
    for (const takes of [false, true]) {
      const home = await TestHome.begin();
      await home.begun(1, "c1", FILTER);
      await home.lose(1);
      await home.share(KEY, range(0, 2), 2);
      await home.open(2, "c1");
      home.takesElsewhere = takes;
      home.elsewhere.add(KEY);
      home.sharing.changed(KEY);
      home.report(2, [ReportKind.BEGUN, 0]);
      await turns();
      expect([textsOf(home, 2), home.given]).toEqual(takes ? [[], range(0, 2)] : [range(0, 2), []]);
    }
  });

  it("who are away keep what comes back from elsewhere, once, also when it comes twice", async () => {
    const home = await TestHome.begin();
    await home.begun(1, "c1", FILTER);
    await home.lose(1);
    await home.share(KEY, range(0, 3), 2);
    home.comesBack = 2;
    home.elsewhere.add(KEY);
    home.sharing.changed(KEY);
    home.elsewhere.delete(KEY);
    await turns();
    await home.begun(2, "c1");
    expect(textsOf(home, 2)).toEqual(range(0, 3));
    const { received, forwarded } = books(home);
    expect([received - forwarded - books(home).droppedInAll, home.replay.store.entries]).toEqual([3, 3]);
  });

  it("and their messages are known to the next home", async () => {
    const home = await TestHome.begin();
    for (const i of [1, 2]) {
      await home.begun(i, `c${i}`, FILTER);
      await home.lose(i);
    }
    await home.share(KEY, range(0, 4), 2);
    const next = await TestHome.begin(home.log, 2);
    await next.begun(7, "c2");
    expect(next.sent.map(({ text }) => text).sort()).toEqual(range(0, 4));
    expect(next.sent.every(({ qos }) => qos === 2)).toBe(true);
  });

  it("get telemetry only while they are connected", async () => {
    const home = await TestHome.begin();
    await home.begun(1, "c1", FILTER);
    await home.share(KEY, ["now"], 0);
    await home.lose(1);
    await home.share(KEY, ["late"], 0);
    expect(home.sent).toMatchObject([{ text: "now", qos: 0, packetId: 0 }]);
    const { received, forwarded, dropped } = home.ledger.account("sessions", "telemetry");
    expect([received, forwarded, dropped.get("target_away")]).toEqual([2, 1, 1]);
  });
});
