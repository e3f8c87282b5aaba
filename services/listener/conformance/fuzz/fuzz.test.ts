import { describe, expect, it } from "vitest";
import { describeInput, loadCorpus } from "./corpus.js";
import { fuzz } from "./fuzz.js";
import { Target } from "./target.js";

const RUNS = 250_000;
const corpus = loadCorpus();

describe("the corpus", () => {
  it("harms nobody, whole and cut at every byte", () => {
    const target = new Target();
    for (const input of corpus) {
      for (let cut = 0; cut <= input.bytes.length; cut++) {
        expect(target.complaintAbout(input, cut), `${describeInput(input)} cut at ${cut}`).toBeUndefined();
      }
    }
  });

  it("harms nobody when it is broken", () => {
    const seed = Math.trunc(Math.random() * 0x1_0000_0000);
    expect(fuzz(corpus, seed, (tried) => tried < RUNS)).toBeUndefined();
  });
});
