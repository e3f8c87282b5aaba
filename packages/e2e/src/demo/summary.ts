/** What the sample application makes of the readings. */

/** One protocol's share. Temperatures in °C. */
export interface ProtocolSummary {
  readonly protocol: string;
  count: number;
  coldest: number;
  warmest: number;
  /** Source times of the first and the last hour, ISO 8601. */
  first: string;
  last: string;
}

/** Collects readings, each counted once however often it is delivered. */
export class Summary {
  readonly #seen = new Set<string>();
  readonly #protocols = new Map<string, ProtocolSummary>();

  get count(): number {
    return this.#seen.size;
  }

  add(protocol: string, device: string, time: string, temperature: number): void {
    const key = `${device} ${time}`;
    if (this.#seen.has(key)) return;
    this.#seen.add(key);
    let row = this.#protocols.get(protocol);
    if (row === undefined) {
      row = { protocol, count: 0, coldest: temperature, warmest: temperature, first: time, last: time };
      this.#protocols.set(protocol, row);
    }
    row.count += 1;
    row.coldest = Math.min(row.coldest, temperature);
    row.warmest = Math.max(row.warmest, temperature);
    if (time < row.first) row.first = time;
    if (time > row.last) row.last = time;
  }

  /** By name of the protocol. */
  rows(): ProtocolSummary[] {
    return [...this.#protocols.values()].sort((a, b) => a.protocol.localeCompare(b.protocol));
  }
}

/** The rows as lines of a table. */
export function summaryLines(rows: readonly ProtocolSummary[]): string[] {
  const line = (name: string, count: string, coldest: string, warmest: string, hours: string): string =>
    `  ${name.padEnd(10)}${count.padStart(9)}${coldest.padStart(10)}${warmest.padStart(10)}   ${hours}`;
  return [
    line("protocol", "readings", "coldest", "warmest", "hours (UTC)"),
    ...rows.map(({ protocol, count, coldest, warmest, first, last }) =>
      line(
        protocol,
        count.toLocaleString("en"),
        `${coldest.toFixed(1)} °C`,
        `${warmest.toFixed(1)} °C`,
        `${first.slice(0, 16)} to ${last.slice(0, 16)}`,
      ),
    ),
  ];
}
