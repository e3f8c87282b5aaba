/** The shapes of filters: how many levels, which of them are `+`, whether `#` ends it. */
import type { LevelScan } from "./level-scan.js";

/** All filters of a shape are found by one look into the hash table. */
export class Shape {
  /** Filters of this shape that are held. */
  filters = 0;
  /** Filters without any wildcard have one shape, however many levels they have. */
  readonly isExact: boolean;
  /** No level of the path decides: `#`, `+/+`, … */
  readonly isBlank: boolean;
  private readonly seed: number;

  constructor(
    /** Place in the table of shapes. */
    readonly id: number,
    readonly key: number,
    readonly levels: number,
    readonly mask: number,
    readonly open: boolean,
  ) {
    this.seed = mix(mix(key >>> 0) ^ (key / 0x1_0000_0000));
    this.isExact = key === EXACT;
    let literal = 0;
    for (let i = 0; i < levels; i++) if (!this.isWild(i)) literal++;
    this.isBlank = !this.isExact && literal === 0;
  }

  /** Whether paths like the scanned one can match a filter of this shape; `reserved`: they begin with `$` (4.7.2). */
  fits(levels: number, reserved: boolean): boolean {
    if (this.isExact) return true;
    if (reserved && ((this.mask & 1) !== 0 || this.levels === 0)) return false;
    return this.open ? levels >= this.levels : levels === this.levels;
  }

  /** The hash that a filter of this shape has if it matches the scanned path, and that a scanned filter has. */
  hashOf(scan: LevelScan, tenant: number): number {
    const { hashes } = scan;
    const levels = this.isExact ? scan.levels : this.levels;
    let hash = this.seed ^ tenant;
    for (let i = 0; i < levels; i++) {
      if (this.mask !== 0 && this.isWild(i)) continue;
      hash = Math.imul(hash ^ hashes[i]!, 0x9e37_79b1);
      hash ^= hash >>> 15;
    }
    return mix(hash) >>> 0;
  }

  private isWild(level: number): boolean {
    return level < 31 && ((this.mask >>> level) & 1) !== 0;
  }
}

const EXACT = 0;

/** The shapes in use; one that is not used any more stays until its place is needed. */
export class ShapeTable {
  readonly all: Shape[] = [];
  private readonly byKey = new Map<number, Shape>();

  constructor(private readonly maxShapes: number) {}

  /** The shape of the scanned filter; undefined when nobody has used it so far. */
  find(scan: LevelScan): Shape | undefined {
    return this.byKey.get(keyOf(scan));
  }

  /** Takes a new shape in; undefined when there are too many, or this one cannot be told by a key. */
  create(scan: LevelScan): Shape | undefined {
    if (scan.deep) return undefined;
    const id =
      this.all.length < this.maxShapes ? this.all.length : this.all.findIndex(({ filters }) => filters === 0);
    if (id < 0) return undefined;
    const unused = this.all[id];
    if (unused !== undefined) this.byKey.delete(unused.key);
    const key = keyOf(scan);
    const shape = new Shape(id, key, key === EXACT ? 0 : scan.levels, scan.mask, scan.open);
    this.all[id] = shape;
    this.byKey.set(key, shape);
    return shape;
  }
}

/** A whole number below 2^49: levels are at most 65,536, the mask has 31 bits. */
function keyOf({ levels, mask, open, deep }: LevelScan): number {
  if (deep) return -1;
  if (mask === 0 && !open) return EXACT;
  return (mask * 0x2_0000 + levels) * 2 + (open ? 1 : 0);
}

/** The end of MurmurHash3: every bit of the result depends on every bit given. */
export function mix(value: number): number {
  let h = value;
  h = Math.imul(h ^ (h >>> 16), 0x85eb_ca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2_ae35);
  return h ^ (h >>> 16);
}
