import { session as wire } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { TestHome as Home, NEVER, turns } from "../../test/support/test-home.js";

const { ReportKind } = wire;

const idOf = (letter: string): string => letter.repeat(16);

describe("a session that is opened", () => {
  it("waits until the connection before has let go", async () => {
    const home = await Home.begin();
    expect(await home.open(1)).toMatchObject({ present: false });
    const second = home.open(2);
    await turns();
    expect(home.signals).toEqual(["1 TAKEN_OVER 0"]);
    home.report(1, [ReportKind.CLOSED, NEVER]);
    expect(await second).toMatchObject({ present: true });
  });

  it("and asked for again by the same connection, while it waits, stays with that connection", async () => {
    const home = await Home.begin();
    await home.open(1);
    const asked = [home.open(2), home.open(2)];
    await turns();
    home.report(1, [ReportKind.CLOSED, NEVER]);
    await Promise.all(asked);
    await turns();
    expect(home.signals).toEqual(["1 TAKEN_OVER 0"]);
  });

  it("keeps the bounds of its own for its next home too, until it is opened without", async () => {
    const bounds = { maxMessages: 5, maxBytes: 70_000, dropOldest: true };
    const first = await Home.begin();
    await first.open(1, "c", bounds);
    const second = await Home.begin(first.log, 2);
    expect(second.store.ofClient("t", "c")?.bounds).toEqual({
      maxMessages: 5,
      maxBytes: 70_000,
      whenFull: "oldest",
    });
    await second.open(2);
    const third = await Home.begin(second.log, 3);
    expect(third.store.ofClient("t", "c")?.bounds).toBeUndefined();
  });

  it("has another home when this one is closed meanwhile, whatever is waited for", async () => {
    const home = await Home.begin();
    await home.open(1);
    const waiting = home.open(2);
    await turns();
    home.journal.close();
    const late = home.open(1);
    await turns();
    home.desk.close();
    await expect(waiting).rejects.toMatchObject({ code: "request.no_responder" });
    await expect(late).rejects.toMatchObject({ code: "request.no_responder" });
  });
});

describe("a QoS 2 message of a client", () => {
  it("may be stored when the journal holds that it begins, in order, and a later home knows how far it was", async () => {
    const home = await Home.begin();
    await home.open(1);
    home.log.isStuck = true;
    home.report(
      1,
      [ReportKind.INCOMING, 5, idOf("a")],
      [ReportKind.INCOMING, 6, idOf("b")],
      [ReportKind.INCOMING, 7, idOf("c")],
    );
    await turns();
    expect(home.signals).toEqual([]);
    home.log.isStuck = false;
    await turns();
    expect(home.signals).toEqual(["1 RECORDED 5", "1 RECORDED 6", "1 RECORDED 7"]);
    home.report(1, [ReportKind.STORED, 6], [ReportKind.FORGOTTEN, 7]);
    await turns();
    expect(home.signals.slice(3)).toEqual(["1 PUBCOMP 7"]);
    const next = await Home.begin(home.log, 2);
    const opened = await next.open(9);
    expect(opened).toMatchObject({ present: true, incoming: [5, 6], incomingStored: [false, true] });
    expect(String(opened.incomingIds)).toBe(idOf("a") + idOf("b"));
  });

  it("that was refused is forgotten without a word to the client, and its identifier begins anew", async () => {
    const home = await Home.begin();
    await home.open(1);
    home.report(1, [ReportKind.INCOMING, 5, idOf("a")], [ReportKind.REFUSED, 5]);
    home.report(1, [ReportKind.INCOMING, 5, idOf("b")]);
    await turns();
    expect(home.signals).toEqual(["1 RECORDED 5", "1 RECORDED 5"]);
    const opened = await (await Home.begin(home.log, 2)).open(2);
    expect([opened.incoming, String(opened.incomingIds)]).toEqual([[5], idOf("b")]);
  });
});
