/** What goes between the store and its threads. */
import type { AggregateQuery, LatestQuery, RangeQuery } from "../../data-store.js";
import type { ReadingColumns } from "../../reading-block.js";

/** How a thread opens its file. */
export interface ThreadOptions {
  readonly path: string;
  readonly role: "writer" | "reader";
  /** The file grows no larger; for the writer. */
  readonly maxBytes: number;
}

/** A call; answered in order. */
export type Call =
  | { readonly op: "open" }
  | { readonly op: "write"; readonly blocks: readonly ReadingColumns[] }
  | { readonly op: "remove"; readonly beforeUs: number; readonly afterSeries: number; readonly rows: number }
  | { readonly op: "range"; readonly query: RangeQuery }
  | { readonly op: "aggregate"; readonly query: AggregateQuery }
  | { readonly op: "latest"; readonly query: LatestQuery }
  | { readonly op: "close" };

/** Answer to `write`. */
export interface Written {
  /** Of the file, without what is free in it. */
  readonly bytes: number;
}

/** Answer to `remove`. */
export interface Removed {
  readonly rows: number;
  /** Where to go on; undefined: nothing is left. */
  readonly afterSeries?: number;
}
