/** Values as they stand in a statement. */

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
