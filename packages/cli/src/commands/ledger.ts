/** `myelin ledger`: hop by hop, what came, what became of it, and what is unaccounted. */

import { stripVTControlCharacters } from "node:util";
import { closeByLinks } from "@myelin/bus";
import { control, Lane, subjects } from "@myelin/contract";
import Table from "cli-table3";
import type { ReachOptions } from "../box/connection.js";
import { colour, EXIT, note, print, printJson } from "../output.js";
import { withBus } from "./client.js";

export interface LedgerOptions extends ReachOptions {
  readonly json: boolean;
  /** Seconds between prints; undefined: once. */
  readonly watch?: number;
}

/** One line of the books, summed over instances. Counts are messages. */
export interface LedgerRow {
  readonly hop: string;
  readonly lane: string;
  readonly target: string;
  received: number;
  forwarded: number;
  stored: number;
  expired: number;
  queued: number;
  readonly dropped: Record<string, number>;
  unaccounted: number;
}

const ANSWER_TIMEOUT_MS = 2_000;
const HOP_ORDER = ["ingress", "route", "fanout", "publish", "deliver", "downlink"];

/** Exit code 1 when anything is unaccounted. */
export async function ledger(options: LedgerOptions): Promise<number> {
  return withBus(options, async (bus) => {
    for (;;) {
      const answers = await bus.requestMany(subjects.ledgerQuery(), new Uint8Array(), {
        timeoutMs: ANSWER_TIMEOUT_MS,
      });
      const snapshots = answers.map((bytes) => control.LedgerSnapshot.decode(bytes));
      const rows = sumRows(closeByLinks(snapshots));
      const unaccounted = rows.reduce((sum, row) => sum + Math.abs(row.unaccounted), 0);
      if (options.json) {
        const instances = snapshots.map((s) => ({ service: s.service, instance: s.instance }));
        printJson({ at: new Date().toISOString(), instances, rows, unaccounted });
      } else {
        if (snapshots.length === 0) note("No service answered.");
        print(inColumns(rows, process.stdout.columns));
        const text = `unaccounted ${unaccounted}`;
        print(unaccounted === 0 ? colour.green(text) : colour.red(colour.bold(text)));
      }
      if (options.watch === undefined)
        return unaccounted === 0 && snapshots.length > 0 ? EXIT.ok : EXIT.failed;
      await new Promise((resolve) => setTimeout(resolve, options.watch! * 1000));
    }
  });
}

/** Sums the accounts of all snapshots, closed ones included, by hop, lane and target. */
export function sumRows(snapshots: readonly control.LedgerSnapshot[]): LedgerRow[] {
  const rows = new Map<string, LedgerRow>();
  const visit = (snapshot: control.LedgerSnapshot): void => {
    for (const account of snapshot.accounts) add(rows, account);
    for (const closed of snapshot.closed) visit(closed);
  };
  for (const snapshot of snapshots) visit(snapshot);
  for (const row of rows.values()) {
    const dropped = Object.values(row.dropped).reduce((sum, n) => sum + n, 0);
    row.unaccounted = row.received - row.forwarded - row.stored - row.expired - row.queued - dropped;
  }
  return [...rows.values()].sort(
    (a, b) => rank(a.hop) - rank(b.hop) || a.lane.localeCompare(b.lane) || a.target.localeCompare(b.target),
  );
}

function rank(hop: string): number {
  const at = HOP_ORDER.indexOf(hop);
  return at === -1 ? HOP_ORDER.length : at;
}

function add(rows: Map<string, LedgerRow>, account: control.LedgerAccount): void {
  const lane = laneName(account.lane);
  const key = `${account.hop}\0${lane}\0${account.target}`;
  let row = rows.get(key);
  if (row === undefined) {
    row = {
      hop: account.hop,
      lane,
      target: account.target,
      received: 0,
      forwarded: 0,
      stored: 0,
      expired: 0,
      queued: 0,
      dropped: {},
      unaccounted: 0,
    };
    rows.set(key, row);
  }
  row.received += account.received;
  row.forwarded += account.forwarded;
  row.stored += account.stored;
  row.expired += account.expired;
  row.queued += account.queued;
  for (const drop of account.dropped) row.dropped[drop.reason] = (row.dropped[drop.reason] ?? 0) + drop.count;
}

function laneName(lane: Lane): string {
  if (lane === Lane.TELEMETRY) return "telemetry";
  if (lane === Lane.EVENT) return "event";
  return lane === Lane.COMMAND ? "command" : "";
}

/** A table where it fits into `columns`, else an equation for each row; undefined columns: no terminal, any width. */
export function inColumns(rows: readonly LedgerRow[], columns: number | undefined): string {
  const wide = table(rows);
  const width = stripVTControlCharacters(wide.slice(0, wide.indexOf("\n"))).length;
  return columns === undefined || width <= columns ? wide : rows.map(equation).join("\n");
}

function equation(row: LedgerRow): string {
  const { hop, lane, target, received, forwarded, stored, expired, queued, unaccounted } = row;
  const parts = Object.entries({ forwarded, stored, expired, queued }).map(([name, n]) => `${n} ${name}`);
  const dropped = Object.entries(row.dropped).map(([reason, n]) => `${n} dropped ${reason}`);
  const rest = unaccounted === 0 ? [] : [colour.red(`${unaccounted} unaccounted`)];
  const sum = [...parts, ...dropped, ...rest].filter((part) => !part.startsWith("0 "));
  return [
    colour.bold([hop, lane, target].filter((word) => word !== "").join(" ")),
    `  ${received} received`,
    ...sum.map((part, i) => `  ${i === 0 ? "=" : "+"} ${part}`),
  ].join("\n");
}

function table(rows: readonly LedgerRow[]): string {
  const out = new Table({
    head: [
      "hop",
      "lane",
      "target",
      "received",
      "forwarded",
      "stored",
      "dropped",
      "expired",
      "queued",
      "unaccounted",
    ],
    style: { head: [], border: [] },
    colAligns: ["left", "left", "left", "right", "right", "right", "left", "right", "right", "right"],
  });
  for (const r of rows) {
    const dropped = Object.entries(r.dropped)
      .filter(([, n]) => n > 0)
      .map(([reason, n]) => `${n} ${reason}`)
      .join("\n");
    out.push([
      r.hop,
      r.lane,
      r.target,
      r.received,
      r.forwarded,
      r.stored,
      dropped || "0",
      r.expired,
      r.queued,
      r.unaccounted === 0 ? "0" : colour.red(String(r.unaccounted)),
    ]);
  }
  return out.toString();
}
