/** Who wrote a field, and what the writer knew of: enough to tell later writes from those that crossed on the way. */

/** The two places a shadow is written at: here, and on the edge node that runs without us while its uplink is gone. */
export type Site = "hub" | "edge";

/** How many writes of each site are known of. */
export interface Vector {
  readonly hub: number;
  readonly edge: number;
}

/** One write: its site, and everything known there at that moment, the write itself included. Shared by all fields of the write. */
export interface Stamp extends Vector {
  readonly site: Site;
}

/** Nothing was written yet. */
export const EMPTY_VECTOR: Vector = { hub: 0, edge: 0 };

/** The next write of a site that knows of `seen`. */
export function nextStamp(site: Site, { hub, edge }: Vector): Stamp {
  return site === "hub" ? { site, hub: hub + 1, edge } : { site, hub, edge: edge + 1 };
}

/** Everything either knows of. */
export function joined(a: Vector, b: Vector): Vector {
  return { hub: Math.max(a.hub, b.hub), edge: Math.max(a.edge, b.edge) };
}

/** Whether the write is among what `vector` knows of. */
export function isKnown(write: Stamp, vector: Vector): boolean {
  return write.site === "hub" ? write.hub <= vector.hub : write.edge <= vector.edge;
}

/** How two writes of one field stand to each other. */
export type Relation = "same" | "before" | "after" | "crossed";

/** Is `a` before or after `b`, the same write, or did neither know of the other? */
export function relation(a: Stamp, b: Stamp): Relation {
  const aKnown = isKnown(a, b);
  const bKnown = isKnown(b, a);
  if (aKnown && bKnown) return "same";
  if (aKnown) return "before";
  return bKnown ? "after" : "crossed";
}

/**
 * Whether `a` stands and `b` goes. Later ones win; of those that crossed the one of the preferred site. With two sites, each of which
 * numbers its own writes, this has no cycles, so the order in which fields are merged makes no difference.
 */
export function isStronger(a: Stamp, b: Stamp, preferred: Site): boolean {
  const found = relation(a, b);
  return found === "crossed" ? a.site === preferred : found === "after";
}
