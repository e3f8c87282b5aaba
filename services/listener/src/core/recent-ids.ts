/** The ids of the last messages, so that one that comes again is known. */

/**
 * Remembers at least the last `generation` ids and at most twice as many: exact, and forgotten by the generation.
 */
export class RecentIds {
  private newer = new Set<string>();
  private older = new Set<string>();

  constructor(private readonly generation: number) {}

  /** True when it is new. The bytes are copied. */
  add(id: Buffer): boolean {
    const key = id.toString("latin1");
    if (this.newer.has(key) || this.older.has(key)) return false;
    if (this.newer.size >= this.generation) {
      this.older = this.newer;
      this.newer = new Set();
    }
    this.newer.add(key);
    return true;
  }
}
