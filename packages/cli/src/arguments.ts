/** How options are read. */
import { InvalidArgumentError } from "commander";

/** Parser of a whole number between the two, for an option. */
export function integer(low: number, high: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < low || value > high) {
      throw new InvalidArgumentError(`A whole number from ${low} to ${high} is needed.`);
    }
    return value;
  };
}

/** Parser of an option that may be repeated; not split at commas, which topics and device ids may hold. */
export function list(text: string, before: readonly string[] | undefined): string[] {
  return [...(before ?? []), text];
}

const GIB = 1024 ** 3;
const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: GIB,
  TiB: 1024 * GIB,
};

/** Parser of a number of bytes between the two, with or without a unit, for an option. */
export function size(low: number, high: number): (text: string) => number {
  return (text) => {
    const [, number, unit = ""] = /^(\d+(?:\.\d+)?) ?([KMGT]iB)?$/.exec(text) ?? [];
    const bytes = Math.ceil(Number(number) * (UNITS[unit] as number));
    if (!(bytes >= low && bytes <= high)) {
      throw new InvalidArgumentError(
        `A size from ${low / 1024 ** 2}MiB to ${high / 1024 ** 4}TiB is needed, such as 8GiB.`,
      );
    }
    return bytes;
  };
}
