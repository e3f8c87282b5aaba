/** The runner: mutated inputs until it is enough, and the smallest input that shows what is wrong. */
import { describeInput, type Input } from "./corpus.js";
import { mutated, randomOf } from "./mutate.js";
import { Target } from "./target.js";

/** What was found: for the corpus and for whoever mends it. */
export interface Finding {
  readonly seed: number;
  readonly complaint: string;
  readonly line: string;
}

/** Tries inputs as long as `more` says; the first finding ends it. */
export function fuzz(
  corpus: readonly Input[],
  seed: number,
  more: (tried: number) => boolean,
): Finding | undefined {
  const random = randomOf(seed);
  const target = new Target();
  for (let tried = 0; more(tried); tried++) {
    const input = mutated(corpus, random);
    const complaint = target.complaintAbout(input, random(input.bytes.length + 1));
    if (complaint !== undefined) return { seed, complaint, line: describeInput(smallest(input)) };
  }
  return undefined;
}

/** Leaves out what does not matter. */
function smallest(found: Input): Input {
  const target = new Target();
  let input = found;
  for (let size = input.bytes.length >>> 1; size > 0; size >>>= 1) {
    for (let at = 0; at + size <= input.bytes.length; ) {
      const bytes = Buffer.concat([input.bytes.subarray(0, at), input.bytes.subarray(at + size)]);
      const shorter = { ...input, bytes };
      if (target.complaintAbout(shorter, bytes.length) === undefined) at += size;
      else input = shorter;
    }
  }
  return input;
}
