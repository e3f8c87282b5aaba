/** What every store of readings must do. */
import type { Component } from "@myelin/kernel";
import type { ReadingBlock, ReadingKind, ReadingQuality } from "./reading-block.js";

/** Series whose path and point are given exactly, or all of a device where they are left out. */
export interface SeriesFilter {
  readonly tenant: string;
  readonly device: string;
  readonly path?: string | undefined;
  readonly point?: string | undefined;
}

/** A stretch of time in microseconds since 1970, `from` included, `to` not. */
export interface TimeRange {
  readonly fromUs: number;
  readonly toUs: number;
}

/** One page of what was stored. */
export interface RangeQuery extends SeriesFilter, TimeRange {
  /** By time, then path, point and reference. `descending` begins with the newest. */
  readonly order: "ascending" | "descending";
  /** From 1 to `MAX_PAGE`; a page may be shorter and still have a cursor, when its values are large. */
  readonly limit: number;
  /** Of the page before, with everything else the same. */
  readonly cursor?: string | undefined;
  /** A page ends before its names and values are larger than this; 4 MiB when left out. One row always finds room. */
  readonly maxBytes?: number | undefined;
}

/** Sums over equal stretches of time. */
export interface AggregateQuery extends SeriesFilter, TimeRange {
  /** Length of a stretch; stretches begin at multiples of it. Left out: the whole range is one. */
  readonly everyUs?: number | undefined;
  readonly limit: number;
  readonly cursor?: string | undefined;
  /** As in `RangeQuery`. */
  readonly maxBytes?: number | undefined;
}

/** The newest of each series, by path and point. */
export interface LatestQuery extends SeriesFilter {
  readonly limit: number;
  readonly cursor?: string | undefined;
  /** As in `RangeQuery`. */
  readonly maxBytes?: number | undefined;
}

/** What was stored of one point at one time. */
export interface Reading {
  readonly path: string;
  readonly point: string;
  readonly timeUs: number;
  readonly kind: ReadingKind;
  /** For kind `json` its text; null for kind `none`. */
  readonly value: number | boolean | string | Uint8Array | null;
  readonly quality: ReadingQuality;
  /** Why the quality is what it is; absent where nobody said. */
  readonly reason?: string;
}

/** Numbers and truth values (as 0 and 1) of one series in one stretch; bad, infinite and undefined ones are left out. */
export interface Aggregate {
  readonly path: string;
  readonly point: string;
  readonly startUs: number;
  /** At least 1: stretches without a number are left out. */
  readonly count: number;
  readonly sum: number;
  readonly mean: number;
  readonly min: number;
  readonly max: number;
  readonly first: number;
  readonly last: number;
}

/** A part of an answer; with a cursor there may be more. */
export interface Page<T> {
  readonly rows: readonly T[];
  readonly cursor?: string | undefined;
}

/** Most rows of a page. */
export const MAX_PAGE = 10_000;

/** Most series that one query may ask for. */
export const MAX_QUERY_SERIES = 1_000;

/**
 * A store of readings. `start` resolves when it can be written; calls before that, and while it is away, are rejected with a
 * retryable `store.*` code.
 */
export interface DataStore extends Component {
  /** What its readings take, as of the last write; absent where it does not know. */
  readonly bytes?: number;
  /**
   * Resolves when all of the block is safe. A reading with a reference that was stored before is not stored twice; without one
   * it replaces what its series has at that time. Takes the block: it must not be used afterwards, also after a failure.
   */
  write(block: ReadingBlock): Promise<void>;
  /** @throws AppError `history.bad_query`, `history.too_many_series`, `store.*` */
  range(query: RangeQuery): Promise<Page<Reading>>;
  /** As `range`; by path, point and time. */
  aggregate(query: AggregateQuery): Promise<Page<Aggregate>>;
  /** The newest reading of each series. @throws as `range` */
  latest(query: LatestQuery): Promise<Page<Reading>>;
  /** Removes what is older, in small steps between which it can be written; resolves with how many readings went. */
  removeBefore(timeUs: number, signal: AbortSignal): Promise<number>;
}
