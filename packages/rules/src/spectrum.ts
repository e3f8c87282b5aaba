/** What a list of equally spaced samples, such as a vibration, says in one number. The only file that knows the library. */
import FFT from "fft.js";

/** Longest list that is looked at. */
export const MAX_LIST = 65_536;

/** Root mean square; 0 for an empty list. */
export function rms(list: readonly number[]): number {
  let sum = 0;
  for (const one of list) sum += one * one;
  return list.length === 0 ? 0 : Math.sqrt(sum / list.length);
}

/** Largest absolute value; 0 for an empty list. */
export function peak(list: readonly number[]): number {
  let most = 0;
  for (const one of list) most = Math.max(most, Math.abs(one));
  return most;
}

/** Peak as a multiple of the root mean square: 1.41 for a sine, much more for knocks. 0 where nothing moves. */
export function crest(list: readonly number[]): number {
  const usual = rms(list);
  return usual === 0 ? 0 : peak(list) / usual;
}

/** A band of frequencies. */
export interface Band {
  readonly sampleHz: number;
  readonly fromHz: number;
  readonly toHz: number;
}

/** By size; sizes are powers of two up to `MAX_LIST`, so there are seventeen at most. */
const transforms = new Map<number, FFT>();

/**
 * Root mean square of the part of the list within a band, its mean left out. A Hann window keeps what lies beside the band out of it;
 * the list is filled up with zeros to a power of two.
 */
export function bandRms(list: readonly number[], { sampleHz, fromHz, toHz }: Band): number {
  const n = list.length;
  if (n < 2) return 0;
  const size = 2 ** Math.ceil(Math.log2(n));
  let transform = transforms.get(size);
  if (transform === undefined) {
    transform = new FFT(size);
    transforms.set(size, transform);
  }
  let mean = 0;
  for (const one of list) mean += one / n;
  const input = new Array<number>(size).fill(0);
  let energy = 0;
  for (let i = 0; i < n; i++) {
    const hann = 0.5 - 0.5 * Math.cos((2 * Math.PI * (i + 0.5)) / n);
    energy += hann * hann;
    input[i] = (list[i]! - mean) * hann;
  }
  const output = transform.createComplexArray();
  transform.realTransform(output, input);
  const half = size / 2;
  const first = Math.max(0, Math.ceil((fromHz * size) / sampleHz));
  const last = Math.min(half, Math.floor((toHz * size) / sampleHz));
  let sum = 0;
  for (let k = first; k <= last; k++) {
    const [re, im] = [output[2 * k] as number, output[2 * k + 1] as number];
    // All but the ends stand for two: the other half of the spectrum mirrors them.
    sum += (re * re + im * im) * (k === 0 || k === half ? 1 : 2);
  }
  return Math.sqrt(sum / (size * energy));
}
