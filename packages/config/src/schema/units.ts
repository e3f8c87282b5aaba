/** Durations and sizes in the form in which people write them. */
import { AppError } from "@myelin/kernel";

const DURATION_MS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;
const SIZE_BYTES = { B: 1, KiB: 1_024, MiB: 1_048_576, GiB: 1_073_741_824 } as const;

/** The forms as patterns of JSON Schema. */
export const DURATION_PATTERN = "^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d)$";
export const BYTES_PATTERN = "^[0-9]+(\\.[0-9]+)?(B|KiB|MiB|GiB)$";

const SPLIT = /^([0-9.]+)([A-Za-z]+)$/;

function parse(text: string, pattern: string, units: Readonly<Record<string, number>>, what: string): number {
  const parts = new RegExp(pattern).test(text) ? SPLIT.exec(text) : null;
  if (parts === null) throw new AppError("config.invalid", `${JSON.stringify(text)} is not ${what}`);
  return Number(parts[1]) * (units[parts[2] as string] as number);
}

/**
 * "30s", "1.5h", "250ms" in milliseconds.
 * @throws AppError `config.invalid` for anything else; a bare number has no unit and is refused.
 */
export function parseDurationMs(text: string): number {
  return parse(text, DURATION_PATTERN, DURATION_MS, "a duration such as 30s");
}

/**
 * "64KiB", "1.5MiB" in whole bytes.
 * @throws AppError `config.invalid` for anything else.
 */
export function parseBytes(text: string): number {
  return Math.floor(parse(text, BYTES_PATTERN, SIZE_BYTES, "a size such as 64KiB"));
}
