import { control, Lane } from "@myelin/contract";
import { describe, expect, it } from "vitest";
import { closeByLinks } from "./ledger-links.js";

type Snapshot = Parameters<typeof control.LedgerSnapshot.fromPartial>[0];

const link = (lane: Lane, start: number, end: number, incarnation = 1) => ({
  sender: "listener-0",
  incarnation,
  lane,
  partitions: [0],
  starts: [start],
  ends: [end],
});
const listener = (closed: Snapshot): Snapshot => ({
  service: "listener",
  instance: "listener-0",
  incarnation: 2,
  closed: [{ service: "listener", instance: "listener-0", incarnation: 1, ...closed }],
});
const core = (links: ReturnType<typeof link>[], closed: Snapshot[] = []): Snapshot => ({
  service: "dispatcher",
  instance: "core",
  incarnation: 9,
  links,
  closed,
});

function close(...snapshots: Snapshot[]): control.LedgerSnapshot[] {
  return closeByLinks(snapshots.map((snapshot) => control.LedgerSnapshot.fromPartial(snapshot)));
}

/** What is booked as lost beside the books that were given. */
function lost(snapshots: control.LedgerSnapshot[], given: number): number {
  const [more] = snapshots.slice(given);
  return more?.accounts[0]?.dropped[0]?.count ?? 0;
}

describe("books closed by links", () => {
  it("count what a dead producer had stored after its last books, from its hands first", () => {
    const dropped = [{ reason: "requeued", count: 3 }];
    const accounts = [{ hop: "ingress", lane: Lane.EVENT, received: 13, stored: 10, dropped }];
    const [closed] = close(listener({ accounts }), core([link(Lane.EVENT, 0, 18)]))[0]!.closed;
    expect(closed!.accounts).toMatchObject([
      { received: 18, stored: 18, dropped: [{ reason: "requeued", count: 0 }] },
    ]);
  });

  it("count what a producer sent that died before its first books", () => {
    const [closed] = close(listener({ accounts: [] }), core([link(Lane.TELEMETRY, 0, 4)]))[0]!.closed;
    expect(closed!.accounts).toMatchObject([{ hop: "ingress", received: 4, forwarded: 4 }]);
  });

  it("say nothing of producers that live", () => {
    const accounts = [{ hop: "ingress", lane: Lane.EVENT, received: 5, stored: 5 }];
    const alive = { service: "listener", instance: "listener-0", incarnation: 1, accounts };
    expect(close(alive, core([link(Lane.EVENT, 0, 18)]))[0]!.accounts[0]!.stored).toBe(5);
  });

  it("book telemetry as lost in transit that a dead producer had sent and nobody took", () => {
    const accounts = [{ hop: "ingress", lane: Lane.TELEMETRY, received: 20, forwarded: 20 }];
    expect(lost(close(listener({ accounts }), core([link(Lane.TELEMETRY, 0, 17)])), 2)).toBe(3);
  });

  it("book telemetry as lost in transit that is in the books of no owner", () => {
    const dead = { ...core([link(Lane.TELEMETRY, 0, 10)]), incarnation: 8 };
    expect(lost(close(core([link(Lane.TELEMETRY, 14, 30)], [dead])), 1)).toBe(4);
    expect(lost(close(core([link(Lane.TELEMETRY, 8, 30)], [dead])), 1)).toBe(0);
  });

  it("book nothing as lost that forgotten books may have counted", () => {
    const dead = Array.from({ length: 8 }, (_, i) => ({ ...core([]), incarnation: i }));
    expect(lost(close(core([link(Lane.TELEMETRY, 14, 30)], dead)), 1)).toBe(0);
  });
});
