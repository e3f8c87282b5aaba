/** Broken inputs out of good ones. */
import type { Input } from "./corpus.js";

/** Numbers from 0 up to and without `below`; the same seed gives the same ones. */
export type Random = (below: number) => number;

/** Mulberry32. */
export function randomOf(seed: number): Random {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const INTERESTING = [0x00, 0x01, 0x02, 0x03, 0x23, 0x2b, 0x2f, 0x7f, 0x80, 0x81, 0xc0, 0xed, 0xff];
const MAX_INPUT_BYTES = 4_096;

/** Up to eight changes, among them pieces of other inputs. */
export function mutated(corpus: readonly Input[], random: Random): Input {
  const { opening, bytes } = corpus[random(corpus.length)]!;
  let out = bytes;
  for (let changes = random(8); changes >= 0; changes--) out = changed(out, corpus, random);
  return { opening, bytes: out.subarray(0, MAX_INPUT_BYTES) };
}

function changed(bytes: Buffer, corpus: readonly Input[], random: Random): Buffer {
  const at = random(bytes.length + 1);
  const end = at + random(Math.min(8, bytes.length - at) + 1);
  const [head, middle, tail] = [bytes.subarray(0, at), bytes.subarray(at, end), bytes.subarray(end)];
  const other = corpus[random(corpus.length)]!.bytes;
  switch (random(8)) {
    case 0:
      return Buffer.concat([head, tail]);
    case 1:
      return Buffer.concat([head, middle, middle, tail]);
    case 2:
      return Buffer.concat([head, Buffer.of(random(256)), tail]);
    case 3:
      return Buffer.concat([head, Buffer.of(INTERESTING[random(INTERESTING.length)]!), middle, tail]);
    case 4:
      return Buffer.concat([bytes, other]);
    case 5: {
      const from = random(other.length + 1);
      return Buffer.concat([head, other.subarray(from, from + random(32)), tail]);
    }
    case 6: {
      const out = Buffer.from(bytes);
      if (at < out.length) out[at] = out[at]! ^ (1 << random(8));
      return out;
    }
    default: {
      // A little more or less: lengths and identifiers.
      const out = Buffer.from(bytes);
      if (at < out.length) out[at] = out[at]! + random(5) - 2;
      return out;
    }
  }
}
