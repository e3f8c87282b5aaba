/** What the lists of clients, subscriptions and sessions have in common. */
import type { ops } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import Table from "cli-table3";
import type { ReachOptions } from "../box/connection.js";
import { note, print, printable } from "../output.js";

export interface ListOptions extends ReachOptions {
  readonly json: boolean;
  /** Left out: all tenants. */
  readonly tenant?: string;
  readonly limit: number;
  readonly cursor?: string;
}

export function tenantOf({ tenant }: ListOptions): ops.Tenant | undefined {
  return tenant === undefined ? undefined : { name: tenant };
}

/** @throws AppError `config.invalid` with the sentence when there is none */
export function needed(name: string | undefined, sentence: string): string {
  if (name === undefined || name === "") throw new AppError("config.invalid", sentence);
  return name;
}

/** Prints a table; strangers' text in it cannot act on the terminal. */
export function table(
  head: readonly string[],
  rows: readonly (readonly (string | number)[])[],
  whenEmpty: string,
): void {
  if (rows.length === 0) {
    note(whenEmpty);
    return;
  }
  const out = new Table({ head: [...head], style: { head: [], border: [] } });
  for (const row of rows) out.push(row.map((cell) => printable(String(cell))));
  print(out.toString());
}

/** Says how the list goes on, and who did not answer. */
export function notePage(page: {
  readonly next?: string | undefined;
  readonly missing: readonly string[];
}): void {
  if (page.next !== undefined) note(`There are more: --cursor ${page.next}`);
  noteMissing(page);
}

export function noteMissing({ missing }: { readonly missing: readonly string[] }): void {
  if (missing.length > 0) note(`Not all of it: ${missing.join(", ")} did not answer in time.`);
}
