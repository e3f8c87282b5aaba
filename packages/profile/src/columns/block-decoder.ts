/** Reads a `sample.Block` into samples. */
import type { DeviceProfileSpec } from "@myelin/config";
import { sample, strictDecode } from "@myelin/contract";
import type { RawValue, Sample, SampleValue } from "../sample.js";
import { FORM, qualityOf, reasonOf } from "./columns.js";

/** Points in a block; one with more is not read. */
export const MAX_BLOCK_POINTS = 65_536;

/**
 * The samples of a block, as its agent has judged them; undefined when it is none: broken, or with columns that do not fit each other.
 * @param points of the device's profile: those that it does not have are left out, and the units are theirs; absent: all are taken
 */
export function decodeSampleBlock(
  payload: Uint8Array,
  points?: DeviceProfileSpec["points"],
): readonly Sample[] | undefined {
  const block = tryDecode(payload);
  if (block === undefined || !fits(block)) return undefined;
  const raws = new Map(block.raws.map(({ point, value }) => [point, rawOf(value)]));
  const samples: Sample[] = [];
  let numbers = 0;
  let texts = 0;
  for (const [i, name] of block.points.entries()) {
    const form = block.forms[i];
    const verdict = block.verdicts[i] as number;
    let value: SampleValue | null = null;
    if (form === FORM.number) value = block.numbers[numbers++] as number;
    else if (form === FORM.text) value = block.texts[texts++] as string;
    else if (form !== FORM.none) value = form === FORM.true;
    if (points !== undefined && !Object.hasOwn(points, name)) continue;
    // What has no value is bad whatever it says, and what is bad has none.
    const quality = value === null ? "bad" : qualityOf(verdict & 3);
    const reason = quality === "good" ? undefined : reasonOf(verdict >> 2);
    const unit = points?.[name]?.unit;
    const raw = quality === "bad" ? raws.get(i) : undefined;
    samples.push({
      point: name,
      value: quality === "bad" ? null : value,
      ...(unit !== undefined && { unit }),
      quality,
      ...(reason !== undefined && { reason }),
      ...(raw !== undefined && { raw }),
      timeUs: block.timeUs + (block.offsetsUs[i] ?? 0),
      ...(block.latencyUs > 0 && { latencyUs: block.latencyUs }),
    });
  }
  return samples;
}

function tryDecode(payload: Uint8Array): sample.Block | undefined {
  try {
    return strictDecode(sample.Block, payload);
  } catch {
    // The Protobuf runtime throws errors of its own for what is no message.
    return undefined;
  }
}

function fits({ points, forms, verdicts, numbers, texts, timeUs, offsetsUs }: sample.Block): boolean {
  const count = points.length;
  if (count > MAX_BLOCK_POINTS || forms.length !== count || verdicts.length !== count) return false;
  if (offsetsUs.length !== 0 && offsetsUs.length !== count) return false;
  if (!Number.isSafeInteger(timeUs) || !numbers.every(Number.isFinite)) return false;
  let ofNumbers = 0;
  let ofText = 0;
  for (const form of forms) {
    if (form > FORM.text) return false;
    if (form === FORM.number) ofNumbers += 1;
    else if (form === FORM.text) ofText += 1;
  }
  return ofNumbers === numbers.length && ofText === texts.length;
}

function rawOf(value: sample.Raw["value"]): RawValue | undefined {
  switch (value?.$case) {
    case "number":
    case "text":
    case "flag":
      return value.value;
    default:
      return undefined;
  }
}
