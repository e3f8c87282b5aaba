/** Many short texts in one block of memory: written once, compared where they lie, freed and used again. */
import { grow, growable } from "./records.js";

/** No text is here. */
export const NO_TEXT = 0;

const WIDE = 0x8000_0000;
const LENGTH_MASK = 0x7fff_ffff;
const FIRST_BYTES = 4096;
/** Blocks of up to this many words are used again as they are; longer ones when the arena is packed. */
const MAX_CLASS = 128;
const SLASH = 0x2f;
const PLUS = 0x2b;
const HASH = 0x23;

/** Calls `move` for every place at which a text is, and keeps what it returns instead. */
export type EachPlace = (move: (place: number) => number) => void;

/** A text takes a word for its length and one byte per character, two where one of them is above U+00FF. */
export class TextArena {
  private buffer: ArrayBuffer;
  private words: Uint32Array;
  private bytes: Uint8Array;
  private wide: Uint16Array;
  private top = 1;
  private freeWords = 0;
  private readonly free = new Uint32Array(MAX_CLASS + 1);

  /** @param maxBytes beyond which nothing more is taken; @param eachPlace for when texts must be moved */
  constructor(
    private readonly maxBytes: number,
    private readonly eachPlace: EachPlace,
  ) {
    this.buffer = growable(FIRST_BYTES, maxBytes);
    this.words = new Uint32Array(this.buffer);
    this.bytes = new Uint8Array(this.buffer);
    this.wide = new Uint16Array(this.buffer);
  }

  /** Keeps a text, which is not empty, and returns where; `NO_TEXT` when there is no room. */
  put(text: string): number {
    const wide = isWide(text);
    const { length } = text;
    const place = this.allocate(blockWords(length, wide));
    if (place === NO_TEXT) return place;
    this.words[place] = wide ? length + WIDE : length;
    if (wide) for (let i = 0, at = place * 2 + 2; i < length; i++) this.wide[at + i] = text.charCodeAt(i);
    else for (let i = 0, at = place * 4 + 4; i < length; i++) this.bytes[at + i] = text.charCodeAt(i);
    return place;
  }

  delete(place: number): void {
    const size = sizeOf(this.words[place]!);
    this.freeWords += size;
    if (size > MAX_CLASS) return;
    this.words[place] = this.free[size]!;
    this.free[size] = place;
  }

  read(place: number): string {
    const header = this.words[place]!;
    const isWideText = header >= WIDE;
    const length = (header & LENGTH_MASK) * (isWideText ? 2 : 1);
    return Buffer.from(this.buffer, place * 4 + 4, length).toString(isWideText ? "utf16le" : "latin1");
  }

  equals(place: number, text: string): boolean {
    const header = this.words[place]!;
    const { length } = text;
    if ((header & LENGTH_MASK) !== length) return false;
    if (header < WIDE) {
      const { bytes } = this;
      for (let i = 0, at = place * 4 + 4; i < length; i++) {
        if (bytes[at + i] !== text.charCodeAt(i)) return false;
      }
      return true;
    }
    const { wide } = this;
    for (let i = 0, at = place * 2 + 2; i < length; i++)
      if (wide[at + i] !== text.charCodeAt(i)) return false;
    return true;
  }

  /** Whether the text is `prefix` and then a topic filter that matches `path`, but for the rule about `$` (MQTT 5, 4.7). */
  matches(place: number, prefix: string, path: string): boolean {
    const header = this.words[place]!;
    const units = header < WIDE ? this.bytes : this.wide;
    let at = header < WIDE ? place * 4 + 4 : place * 2 + 2;
    const end = at + (header & LENGTH_MASK);
    for (let i = 0; i < prefix.length; i++) {
      if (at >= end || units[at++] !== prefix.charCodeAt(i)) return false;
    }
    const { length } = path;
    let i = 0;
    let levelStart = true;
    while (at < end) {
      const unit = units[at++]!;
      if (levelStart && unit === HASH) return true;
      if (levelStart && unit === PLUS) {
        while (i < length && path.charCodeAt(i) !== SLASH) i++;
        levelStart = false;
        continue;
      }
      // `a/#` matches `a` as well (4.7.1.2).
      if (i >= length) return unit === SLASH && units[at] === HASH && at + 1 === end;
      if (path.charCodeAt(i++) !== unit) return false;
      levelStart = unit === SLASH;
    }
    return i === length;
  }

  private allocate(size: number): number {
    if (size <= MAX_CLASS) {
      const place = this.free[size]!;
      if (place !== NO_TEXT) {
        this.free[size] = this.words[place]!;
        this.freeWords -= size;
        return place;
      }
    }
    if (this.top + size > this.words.length && !this.makeRoom(size)) return NO_TEXT;
    const place = this.top;
    this.top += size;
    return place;
  }

  /** Packs the arena when a quarter of it is free, which is paid for by what was freed; else it grows. */
  private makeRoom(size: number): boolean {
    if (this.freeWords >= this.words.length / 4) {
      this.pack();
      if (this.top + size <= this.words.length) return true;
    }
    return grow(this.buffer, (this.top + size) * 4);
  }

  private pack(): void {
    const old = this.words;
    this.buffer = growable(this.buffer.byteLength, this.maxBytes);
    const words = new Uint32Array(this.buffer);
    let top = 1;
    this.eachPlace((place) => {
      const size = sizeOf(old[place]!);
      const moved = top;
      for (let k = 0; k < size; k++) words[moved + k] = old[place + k]!;
      top += size;
      return moved;
    });
    this.words = words;
    this.bytes = new Uint8Array(this.buffer);
    this.wide = new Uint16Array(this.buffer);
    this.top = top;
    this.freeWords = 0;
    this.free.fill(NO_TEXT);
  }
}

function sizeOf(header: number): number {
  return blockWords(header & LENGTH_MASK, header >= WIDE);
}

function blockWords(length: number, wide: boolean): number {
  return 1 + (((wide ? length * 2 : length) + 3) >>> 2);
}

function isWide(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return true;
  return false;
}
