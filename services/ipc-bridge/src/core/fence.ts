/** Remembers the newest owner of each partition and refuses the older ones. */

/** `newer`: everything that older owners of the partition sent is theirs no more. */
export type FenceVerdict = "current" | "newer" | "stale";

/** One number per partition; partitions are few and fixed per deployment. */
export class EpochFence {
  readonly #epochs = new Map<number, number>();

  judge(partition: number, epoch: number): FenceVerdict {
    const known = this.#epochs.get(partition);
    if (known === epoch) return "current";
    if (known !== undefined && epoch < known) return "stale";
    this.#epochs.set(partition, epoch);
    return known === undefined ? "current" : "newer";
  }
}
