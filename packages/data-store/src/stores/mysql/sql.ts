/** Values as they stand in a statement. */

/** Codes of numbers that the server has no value for, beside those of `KIND_CODES`; what is summed up leaves them out. */
export const NOT_FINITE: ReadonlyMap<number, number> = new Map([
  [7, Number.NaN],
  [8, Number.POSITIVE_INFINITY],
  [9, Number.NEGATIVE_INFINITY],
]);

/** Safe in every mode of the server: there is nothing in it that could end it. */
export function textSql(text: string): string {
  return text === "" ? "''" : `_utf8mb4 X'${Buffer.from(text, "utf8").toString("hex")}'`;
}

/** As `textSql`. */
export function bytesSql(bytes: Uint8Array): string {
  return bytes.length === 0 ? "''" : `X'${Buffer.from(bytes).toString("hex")}'`;
}

/** A key of `series-key.ts`. */
export function keySql(key: string): string {
  return `X'${key}'`;
}
