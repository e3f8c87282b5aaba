import { stripVTControlCharacters } from "node:util";
import { control, Lane } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { inColumns, sumRows } from "./ledger.js";

type Counts = Partial<control.LedgerAccount>;

function snapshot(accounts: Counts[], closed: Counts[] = []): control.LedgerSnapshot {
  const of = (list: Counts[]) => ({
    accounts: list.map((account) => control.LedgerAccount.fromPartial(account)),
  });
  return control.LedgerSnapshot.fromPartial({
    ...of(accounts),
    closed: closed.length > 0 ? [of(closed)] : [],
  });
}

const ingress = { hop: "ingress", lane: Lane.TELEMETRY, target: "" };

describe("the sum of the books", () => {
  it("adds instances, and what earlier incarnations left", () => {
    const rows = sumRows([
      snapshot(
        [{ ...ingress, received: 10, forwarded: 7, queued: 3 }],
        [{ ...ingress, received: 5, forwarded: 5 }],
      ),
      snapshot([{ ...ingress, received: 2, dropped: [{ reason: "bus_down", count: 2 }] }]),
    ]);
    expect(rows).toEqual([
      {
        hop: "ingress",
        lane: "telemetry",
        target: "",
        received: 17,
        forwarded: 12,
        stored: 0,
        expired: 0,
        queued: 3,
        dropped: { bus_down: 2 },
        unaccounted: 0,
      },
    ]);
  });

  it("shows what is missing, and what is too much, as unaccounted", () => {
    const [lost, doubled] = sumRows([
      snapshot([
        { ...ingress, received: 10, forwarded: 7 },
        { hop: "route", lane: Lane.EVENT, target: "a", received: 1, stored: 2 },
      ]),
    ]);
    expect([lost?.unaccounted, doubled?.unaccounted]).toEqual([3, -1]);
  });

  it("lists hops in the order of a message's way, then lanes and targets by name", () => {
    const hops = ["downlink", "deliver", "publish", "fanout", "route", "ingress"];
    const rows = sumRows([
      snapshot([
        ...hops.map((hop) => ({ hop, lane: Lane.EVENT, target: "b" })),
        { hop: "ingress", lane: Lane.EVENT, target: "a" },
      ]),
    ]);
    expect(rows.map(({ hop, target }) => `${hop} ${target}`)).toEqual([
      "ingress a",
      "ingress b",
      "route b",
      "fanout b",
      "publish b",
      "deliver b",
      "downlink b",
    ]);
  });

  it("does not depend on how the accounts are spread over instances", () => {
    const count = fc.nat(1000);
    const account = fc.record({
      hop: fc.constantFrom("ingress", "route"),
      lane: fc.constantFrom(Lane.TELEMETRY, Lane.EVENT),
      target: fc.constantFrom("", "a"),
      received: count,
      forwarded: count,
      dropped: fc.array(fc.record({ reason: fc.constantFrom("x", "y"), count }), { maxLength: 2 }),
    });
    fc.assert(
      fc.property(fc.array(account, { minLength: 1 }), (accounts) => {
        const apart = sumRows(accounts.map((one) => snapshot([one])));
        const nested = sumRows([snapshot([], accounts)]);
        expect(apart).toEqual(sumRows([snapshot(accounts)]));
        expect(apart).toEqual(nested);
      }),
    );
  });
});

describe("the books on a terminal", () => {
  const rows = sumRows([
    snapshot([
      { ...ingress, received: 9, forwarded: 5, queued: 2, dropped: [{ reason: "bus_down", count: 1 }] },
    ]),
  ]);

  it("are a table where it fits, and in a pipe", () => {
    expect(inColumns(rows, undefined)).toContain("│ ingress │ telemetry │");
    expect(inColumns(rows, 200)).toBe(inColumns(rows, undefined));
  });

  it("are equations where it does not", () => {
    const text = stripVTControlCharacters(inColumns(rows, 40));
    expect(text.split("\n")).toEqual([
      "ingress telemetry",
      "  9 received",
      "  = 5 forwarded",
      "  + 2 queued",
      "  + 1 dropped bus_down",
      "  + 1 unaccounted",
    ]);
  });
});
