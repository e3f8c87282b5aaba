/** Topic filters by the million: who wants a path, found by one look per shape of filter (docs/adr/0011-subscription-index.md). */
import { HashChains } from "./hash-chains.js";
import { filterKey } from "./key.js";
import { LevelScan } from "./level-scan.js";
import { PairTable } from "./pair-table.js";
import { Records } from "./records.js";
import { mix, type Shape, ShapeTable } from "./shapes.js";
import { NO_TEXT, TextArena } from "./text-arena.js";

/** Bounds. Address space is reserved for all of it, memory used for what is held. */
export interface FilterIndexOptions {
  /** Start of all hashes, 32 bits. Give each process a random one, so that nobody can choose filters that collide. */
  readonly seed: number;
  /** Filters held, each counted once. */
  readonly maxFilters?: number;
  /** Pairs of filter and owner; owners are below this. */
  readonly maxPairs?: number;
  /** Bytes of the filters' text. */
  readonly maxTextBytes?: number;
  /** Shapes of filters; a filter of a further shape is odd. */
  readonly maxShapes?: number;
  /** Odd filters, which every path is compared with one by one. */
  readonly maxOdd?: number;
}

/**
 * `first`: nobody held the filter before. `known`: the owner holds it already, its tag is replaced. `full`: a bound is reached.
 * `malformed`: it is no filter. In the last two cases nothing has changed.
 */
export type AddOutcome = "first" | "added" | "known" | "full" | "malformed";

/** `last`: nobody holds the filter any more. `absent`: the owner did not hold it. */
export type RemoveOutcome = "last" | "removed" | "absent";

/** Told of each change before the call that causes it returns; must not use the index. */
export interface FilterIndexObserver {
  /** A filter with this hash has other owners or tags. */
  changed(hash: number): void;
  /** Any path may match differently. */
  changedAll(): void;
}

/** Words 0 to 2 of a filter's record are those of `HashChains`. */
const STRIDE = 5;
const TEXT = 3;
const SHAPE = 4;
/** Instead of a shape's number. */
const ODD = 0xffff_ffff;

const DEFAULT_MAX = 1 << 22;

/**
 * Filters of tenants, each held by owners: small whole numbers that the caller gives out densely, with a tag of 32 bits per
 * pair that is the caller's to interpret. About a hundred bytes for a filter with one owner, all in typed arrays.
 */
export class FilterIndex {
  /** Filters held, each counted once. */
  filters = 0;
  private readonly shapes: ShapeTable;
  private readonly scan: LevelScan;
  private readonly arena: TextArena;
  private readonly pairs: PairTable;
  private readonly maxFilters: number;
  private readonly maxOdd: number;
  private readonly observers: FilterIndexObserver[] = [];
  private readonly records: Records;
  private readonly words: Uint32Array;
  private readonly chains: HashChains;
  private readonly odd = new Set<number>();

  constructor(private readonly options: FilterIndexOptions) {
    const maxFilters = options.maxFilters ?? DEFAULT_MAX;
    this.maxFilters = maxFilters;
    this.maxOdd = options.maxOdd ?? 1024;
    this.scan = new LevelScan(options.seed);
    this.shapes = new ShapeTable(options.maxShapes ?? 1024);
    this.records = new Records(STRIDE, maxFilters);
    this.words = this.records.words;
    this.chains = new HashChains(this.records, maxFilters);
    this.pairs = new PairTable(options.maxPairs ?? DEFAULT_MAX, maxFilters);
    this.arena = new TextArena(options.maxTextBytes ?? 1 << 30, (move) => {
      for (let entry = 1; entry < this.records.end; entry++) {
        const place = this.textOf(entry);
        if (place !== NO_TEXT) this.words[entry * STRIDE + TEXT] = move(place);
      }
    });
  }

  /** Pairs of filter and owner. */
  get size(): number {
    return this.pairs.size;
  }

  /** Tells of changes as long as the index lives. */
  observe(observer: FilterIndexObserver): void {
    this.observers.push(observer);
  }

  add(tenant: string, filter: string, owner: number, tag = 0): AddOutcome {
    if (!this.scan.filter(filter)) return "malformed";
    const { pairs } = this;
    const key = filterKey(tenant, filter);
    const found = this.find(tenant, key);
    const pair = found === 0 ? 0 : pairs.find(found, owner);
    if (pair !== 0) {
      if (pairs.tagOf(pair) === tag) return "known";
      pairs.setTag(pair, tag);
      this.tell(found);
      return "known";
    }
    if (pairs.isFull || !pairs.hasOwner(owner)) return "full";
    const entry = found === 0 ? this.create(tenant, key) : found;
    if (entry === 0) return "full";
    pairs.add(entry, owner, tag);
    this.tell(entry);
    return found === 0 ? "first" : "added";
  }

  remove(tenant: string, filter: string, owner: number): RemoveOutcome {
    const pair = this.pairOf(tenant, filter, owner);
    if (pair === 0) return "absent";
    return this.removePair(pair) ? "last" : "removed";
  }

  /**
   * Removes what an owner holds, or, of that, what has a tag that `isGone`. `onLast` is given the keys (see `splitFilterKey`)
   * of filters that nobody holds any more.
   */
  removeOwner(owner: number, onLast?: (key: string) => void, isGone?: (tag: number) => boolean): void {
    const { pairs } = this;
    for (let pair = pairs.firstOfOwner(owner); pair !== 0; ) {
      const next = pairs.nextOfOwner(pair);
      if (isGone === undefined || isGone(pairs.tagOf(pair))) {
        const entry = pairs.filterOf(pair);
        const key = onLast !== undefined && pairs.ownersOf(entry) === 1 ? this.keyAt(entry) : undefined;
        this.removePair(pair);
        if (key !== undefined) onLast?.(key);
      }
      pair = next;
    }
  }

  /** The tag under which an owner holds a filter; undefined when it does not. */
  tagOf(tenant: string, filter: string, owner: number): number | undefined {
    const pair = this.pairOf(tenant, filter, owner);
    return pair === 0 ? undefined : this.pairs.tagOf(pair);
  }

  /** How many filters an owner holds. */
  countOf(owner: number): number {
    return this.pairs.filtersOf(owner);
  }

  /** Visits what an owner holds, in no order. The index must not be changed meanwhile. */
  forEachOf(owner: number, visit: (key: string, tag: number) => void): void {
    const { pairs } = this;
    for (let pair = pairs.firstOfOwner(owner); pair !== 0; pair = pairs.nextOfOwner(pair)) {
      visit(this.keyAt(pairs.filterOf(pair)), pairs.tagOf(pair));
    }
  }

  /** The keys of all filters; those that come and go while it is walked through may be among them or not. */
  *keys(): IterableIterator<string> {
    for (let entry = 1; entry < this.records.end; entry++) {
      if (this.textOf(entry) !== NO_TEXT) yield this.keyAt(entry);
    }
  }

  /**
   * Visits owner and tag of every filter that matches `path`; an owner comes once per filter. Topics that begin with `$` match
   * no filter that begins with a wildcard (MQTT 5, 4.7.2). The index must not be used meanwhile.
   */
  match(tenant: string, path: string, visit: (owner: number, tag: number) => void): void {
    if (this.filters === 0) return;
    const { scan, chains, arena } = this;
    const prefix = filterKey(tenant, "");
    const reserved = path.startsWith("$");
    const seed = this.tenantHash(tenant);
    scan.path(path);
    for (const shape of this.shapes.all) {
      if (shape.filters === 0 || !shape.fits(scan.levels, reserved)) continue;
      const hash = shape.hashOf(scan, seed);
      for (let entry = chains.first(hash); entry !== 0; entry = chains.after(entry)) {
        if (this.words[entry * STRIDE + SHAPE] !== shape.id) continue;
        if (arena.matches(this.textOf(entry), prefix, path)) this.visitPairs(entry, visit);
      }
    }
    for (const entry of this.odd) {
      if (reserved && this.isWildFirst(entry, prefix.length)) continue;
      if (arena.matches(this.textOf(entry), prefix, path)) this.visitPairs(entry, visit);
    }
  }

  /**
   * Visits the hashes with which `changed` tells of filters that match `path`, now or later; what these do not tell,
   * `changedAll` does.
   */
  hashesOf(tenant: string, path: string, visit: (hash: number) => void): void {
    const { scan } = this;
    const seed = this.tenantHash(tenant);
    const reserved = path.startsWith("$");
    scan.path(path);
    for (const shape of this.shapes.all) {
      if (!shape.isBlank && shape.fits(scan.levels, reserved)) visit(shape.hashOf(scan, seed));
    }
  }

  private visitPairs(entry: number, visit: (owner: number, tag: number) => void): void {
    const { pairs } = this;
    for (let pair = pairs.firstOfFilter(entry); pair !== 0; pair = pairs.nextOfFilter(pair)) {
      visit(pairs.ownerOf(pair), pairs.tagOf(pair));
    }
  }

  private pairOf(tenant: string, filter: string, owner: number): number {
    if (!this.scan.filter(filter)) return 0;
    const entry = this.find(tenant, filterKey(tenant, filter));
    return entry === 0 ? 0 : this.pairs.find(entry, owner);
  }

  /** The number of the scanned filter; 0 when nobody holds it. */
  private find(tenant: string, key: string): number {
    const { arena, chains } = this;
    const shape = this.shapes.find(this.scan);
    if (shape !== undefined && shape.filters > 0) {
      const hash = shape.hashOf(this.scan, this.tenantHash(tenant));
      for (let entry = chains.first(hash); entry !== 0; entry = chains.after(entry)) {
        if (arena.equals(this.textOf(entry), key)) return entry;
      }
    }
    for (const entry of this.odd) if (arena.equals(this.textOf(entry), key)) return entry;
    return 0;
  }

  /** Takes the scanned filter in; 0 when there is no room. */
  private create(tenant: string, key: string): number {
    if (this.filters >= this.maxFilters) return 0;
    const shape = this.shapes.find(this.scan) ?? this.createShape();
    if (shape === undefined && this.odd.size >= this.maxOdd) return 0;
    const place = this.arena.put(key);
    if (place === NO_TEXT) return 0;
    const entry = this.records.take();
    this.words[entry * STRIDE + TEXT] = place;
    this.words[entry * STRIDE + SHAPE] = shape?.id ?? ODD;
    this.filters++;
    if (shape === undefined) this.odd.add(entry);
    else {
      shape.filters++;
      this.chains.link(entry, shape.hashOf(this.scan, this.tenantHash(tenant)));
    }
    return entry;
  }

  private createShape(): Shape | undefined {
    const shape = this.shapes.create(this.scan);
    // `hashesOf` has not told anybody of hashes of this shape.
    if (shape !== undefined) this.tellAll();
    return shape;
  }

  /** True when the filter has gone with its last owner. */
  private removePair(pair: number): boolean {
    const { pairs, chains } = this;
    const entry = pairs.filterOf(pair);
    this.tell(entry);
    pairs.delete(pair);
    if (pairs.ownersOf(entry) > 0) return false;
    const shape = this.shapeAt(entry);
    if (shape === undefined) this.odd.delete(entry);
    else {
      shape.filters--;
      chains.unlink(entry);
    }
    this.arena.delete(this.textOf(entry));
    this.words[entry * STRIDE + TEXT] = NO_TEXT;
    this.records.release(entry);
    this.filters--;
    return true;
  }

  /** Undefined for an odd filter. */
  private shapeAt(entry: number): Shape | undefined {
    return this.shapes.all[this.words[entry * STRIDE + SHAPE]!];
  }

  private textOf(entry: number): number {
    return this.words[entry * STRIDE + TEXT]!;
  }

  private keyAt(entry: number): string {
    return this.arena.read(this.textOf(entry));
  }

  private isWildFirst(entry: number, prefixLength: number): boolean {
    const first = this.keyAt(entry)[prefixLength];
    return first === "+" || first === "#";
  }

  private tenantHash(tenant: string): number {
    if (tenant === "") return 0;
    let hash = this.options.seed;
    for (let i = 0; i < tenant.length; i++) hash = Math.imul(hash ^ tenant.charCodeAt(i), 0x0100_0193);
    return mix(hash);
  }

  private tell(entry: number): void {
    const shape = this.shapeAt(entry);
    if (shape === undefined || shape.isBlank) this.tellAll();
    else for (const observer of this.observers) observer.changed(this.chains.hashOf(entry));
  }

  private tellAll(): void {
    for (const observer of this.observers) observer.changedAll();
  }
}
