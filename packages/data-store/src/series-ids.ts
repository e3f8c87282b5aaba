/** Remembers which series has which identity in a store whose series stay for ever. */
import { type ReadingColumns, storable } from "./reading-block.js";
import type { Identified } from "./sorted-rows.js";

/** As stores keep it, see `storable`. */
export interface SeriesName {
  readonly tenant: string;
  readonly device: string;
  readonly path: string;
  readonly point: string;
}

const MAX_CACHED = 500_000;

/** One per store. `find` looks up or makes series, given in one order for all writers, and answers in that order. */
export class SeriesIds {
  private readonly ids = new Map<string, number>();

  constructor(private readonly find: (names: readonly SeriesName[]) => Promise<readonly number[]>) {}

  /** @throws what `find` throws */
  async identify(all: readonly ReadingColumns[]): Promise<readonly Identified[]> {
    const count = all.reduce((sum, { series }) => sum + series.length / 4, 0);
    if (this.ids.size + count > MAX_CACHED) this.ids.clear();
    const unknown = new Map<string, SeriesName>();
    for (const { series } of all) {
      for (let i = 0; i < series.length; i += 4) {
        const key = keyOf(series, i);
        if (!this.ids.has(key)) unknown.set(key, nameOf(series, i));
      }
    }
    if (unknown.size > 0) {
      const sorted = [...unknown].sort(([a], [b]) => (a < b ? -1 : 1));
      const found = await this.find(sorted.map(([, name]) => name));
      for (const [i, [key]] of sorted.entries()) this.ids.set(key, found[i]!);
    }
    return all.map((columns) => ({ columns, ids: this.idsOf(columns.series) }));
  }

  private idsOf(series: readonly string[]): Float64Array {
    return Float64Array.from({ length: series.length / 4 }, (_, i) => this.ids.get(keyOf(series, i * 4))!);
  }
}

function keyOf(names: readonly string[], at: number): string {
  return `${names[at]}\0${names[at + 1]}\0${names[at + 2]}\0${names[at + 3]}`;
}

function nameOf(names: readonly string[], at: number): SeriesName {
  const [tenant = "", device = "", path = "", point = ""] = names.slice(at, at + 4).map(storable);
  return { tenant, device, path, point };
}
