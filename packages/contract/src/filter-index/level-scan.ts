/** Takes a topic filter or a path apart into the hashes of its levels. */

const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;
/** Longest filter and path in characters: MQTT's limit is as many bytes. */
const MAX_CHARS = 65_535;
/** `+` in levels beyond this is not told by `mask`. */
const MASK_LEVELS = 31;

/** One scan at a time; the fields are what the last one found. */
export class LevelScan {
  hashes = new Uint32Array(32);
  /** Levels; a `#` at the end is none. */
  levels = 0;
  /** Bit n is set for a `+` in level n. */
  mask = 0;
  /** There is a `+` that `mask` cannot tell. */
  deep = false;
  /** Ends in `#`. */
  open = false;

  /** @param seed of all hashes; unknown to clients, so that nobody can choose filters that collide */
  constructor(private readonly seed: number) {}

  /** False for what is no topic filter (MQTT 5, 4.7.1). */
  filter(text: string): boolean {
    const { length } = text;
    if (length === 0 || length > MAX_CHARS) return false;
    this.begin();
    let hash = this.seed;
    let start = 0;
    for (let i = 0; i < length; i++) {
      const unit = text.charCodeAt(i);
      if (unit === SLASH) {
        this.push(hash);
        hash = this.seed;
        start = i + 1;
        continue;
      }
      if (unit === 0) return false;
      if (unit === PLUS || unit === HASH) {
        const isLast = i + 1 === length;
        if (i !== start || !(isLast || (unit === PLUS && text.charCodeAt(i + 1) === SLASH))) return false;
        if (unit === HASH) {
          this.open = true;
          return true;
        }
        if (this.levels < MASK_LEVELS) this.mask |= 1 << this.levels;
        else this.deep = true;
      }
      hash = Math.imul(hash ^ unit, 0x0100_0193);
    }
    this.push(hash);
    return true;
  }

  /** Never refuses: a path with wildcards matches nothing but filters with wildcards in the same places. */
  path(text: string): void {
    this.begin();
    let hash = this.seed;
    for (let i = 0; i < text.length; i++) {
      const unit = text.charCodeAt(i);
      if (unit === SLASH) {
        this.push(hash);
        hash = this.seed;
      } else hash = Math.imul(hash ^ unit, 0x0100_0193);
    }
    this.push(hash);
  }

  private begin(): void {
    this.levels = 0;
    this.mask = 0;
    this.deep = false;
    this.open = false;
  }

  private push(hash: number): void {
    if (this.levels === this.hashes.length) {
      const more = new Uint32Array(this.levels * 2);
      more.set(this.hashes);
      this.hashes = more;
    }
    this.hashes[this.levels++] = hash;
  }
}
