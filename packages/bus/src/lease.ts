/** The value of a lease, and who should hold it. */

/** As stored: JSON. `owner` is empty when the lease is free. */
export interface Lease {
  readonly owner: string;
  readonly incarnation: number;
  /** For people who look: the owner's wall clock. Nothing is decided by it. */
  readonly renewedAtMs: number;
  /** Freed by an owner that ends: whoever comes first may take it. */
  readonly draining: boolean;
}

/** An owner renews this often, */
export const RENEW_MS = 500;
/** stops after this long without a renewal, */
export const FENCE_MS = 2_500;
/** and may be followed by another instance after this long; all by monotonic clocks. */
export const TAKE_OVER_MS = 3_500;
/** What the preferred instance is given before any other takes over. */
export const PREFERENCE_MS = 500;

/** The lease in a stored value; undefined for what is none. */
export function decodeLease(value: Uint8Array): Lease | undefined {
  try {
    const fields = JSON.parse(Buffer.from(value).toString()) as Partial<Lease>;
    const { owner, incarnation, renewedAtMs = 0, draining = false } = fields;
    if (typeof owner !== "string" || typeof incarnation !== "number") return undefined;
    return { owner, incarnation, renewedAtMs, draining };
  } catch {
    // Somebody else wrote there; the lease counts as held by nobody we know, until it has not changed for long enough.
    return undefined;
  }
}

/** The bytes to store. */
export function encodeLease(lease: Lease): Uint8Array {
  return Buffer.from(JSON.stringify(lease));
}

/**
 * The instance that should own each partition: the highest rendezvous hash among those that have not their fair share yet, so
 * that shares differ by one at most and one instance more or less moves little else. Undefined without instances.
 */
export function preferredOwners(partitions: number, instances: Iterable<string>): (string | undefined)[] {
  const names = [...new Set(instances)].sort();
  const share = Math.ceil(partitions / names.length);
  const counts = new Map<string, number>();
  return Array.from({ length: partitions }, (_, partition) => {
    let best: string | undefined;
    let bestWeight = -1;
    for (const name of names) {
      if ((counts.get(name) ?? 0) >= share) continue;
      const weight = weigh(`${name}\0${partition}`);
      if (weight <= bestWeight) continue;
      best = name;
      bestWeight = weight;
    }
    if (best !== undefined) counts.set(best, (counts.get(best) ?? 0) + 1);
    return best;
  });
}

/** The instance that should hold a named lease: the highest rendezvous hash. Undefined without instances. */
export function preferredHolder(key: string, instances: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestWeight = -1;
  for (const name of [...instances].sort()) {
    const weight = weigh(`${name}\0${key}`);
    if (weight <= bestWeight) continue;
    best = name;
    bestWeight = weight;
  }
  return best;
}

/** FNV-1a with MurmurHash3's finalizer: names that differ in their last character only must spread. */
function weigh(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text)) hash = Math.imul(hash ^ byte, 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}
