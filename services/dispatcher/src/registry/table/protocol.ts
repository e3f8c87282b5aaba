/** What goes between tables and the thread that writes them. */
import type { Row } from "./table-file.js";

/** What becomes of a device: there is one, one that may not connect, a marker that there was one, nothing. */
export const KINDS = { device: 0, disabled: 1, deleted: 2, nothing: 3 } as const;

/** Changes of devices, a column each. */
export interface DeviceColumns {
  readonly tenants: readonly string[];
  readonly ids: readonly string[];
  /** One of `KINDS`. */
  readonly kinds: readonly number[];
  readonly versions: readonly number[];
  readonly atMs: readonly number[];
  /** JSON lists. */
  readonly terms: readonly string[];
  /** Where each record ends in `records`. */
  readonly ends: readonly number[];
  readonly records: Uint8Array;
}

/** Changes of presence, a column each. */
export interface PresenceColumns {
  readonly tenants: readonly string[];
  readonly ids: readonly string[];
  readonly online: readonly boolean[];
  readonly sinceMs: readonly number[];
  readonly seenMs: readonly number[];
  readonly protocols: readonly number[];
  readonly addresses: readonly string[];
}

/** Which devices, in the order of their ids' bytes. */
export interface ListQuery {
  readonly tenant: string;
  readonly terms: readonly string[];
  readonly presence: "any" | "online" | "offline";
  /** Behind this one, from `from` on, and before `end`. */
  readonly after: string;
  readonly from: string;
  readonly end: string;
  readonly limit: number;
  /** Of records, about. */
  readonly maxBytes: number;
}

/** Answer to `list`. */
export interface Listed {
  readonly rows: readonly Row[];
  readonly more: boolean;
}

/** Where a table stands: how far in which store. */
export interface TablePlace {
  readonly origin: string;
  readonly through: number;
}

/** Answer to `put`. */
export interface TableState {
  /** Devices, without markers. */
  readonly size: number;
  /** There may be devices that may not connect. */
  readonly hasBars: boolean;
}

/** A call; answered in order. `path` names the table, which is opened when it is first named. */
export type TableCall =
  | { readonly op: "open" | "close" }
  | {
      readonly op: "put";
      readonly path: string;
      readonly columns: DeviceColumns;
      /** What is older than what is there is put too. */
      readonly force: boolean;
      readonly place: TablePlace | undefined;
    }
  | { readonly op: "presence"; readonly path: string; readonly columns: PresenceColumns }
  | { readonly op: "clearPresence"; readonly path: string }
  | { readonly op: "list"; readonly path: string; readonly query: ListQuery }
  | { readonly op: "count"; readonly path: string; readonly tenant: string; readonly term: string }
  | { readonly op: "forget"; readonly path: string };

/** `workerData` of the thread. */
export interface TableThreadData {
  /** What a table keeps in memory in the thread. */
  readonly cacheBytes: number;
}
