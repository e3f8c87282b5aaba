/** Spreads partitions over instances so that a change of one instance moves only its own partitions. */

/** 32-bit FNV-1a over UTF-16 code units, mixed once more; the same in every dispatcher. */
export function hashText(text: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  hash ^= hash >>> 15;
  hash = Math.imul(hash, 0x2c1b3c6d);
  hash ^= hash >>> 13;
  return hash >>> 0;
}

/** The candidate with the highest weight for `key`; ties by name. Undefined when there is none. */
export function rendezvous<T>(
  candidates: Iterable<T>,
  name: (candidate: T) => string,
  key: string,
): T | undefined {
  let best: T | undefined;
  let bestWeight = -1;
  let bestName = "";
  for (const candidate of candidates) {
    const text = name(candidate);
    const weight = hashText(`${text}\0${key}`);
    if (weight > bestWeight || (weight === bestWeight && text < bestName)) {
      best = candidate;
      bestWeight = weight;
      bestName = text;
    }
  }
  return best;
}
