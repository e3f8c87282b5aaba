/** The recorded series: Seattle's normal weather, hour by hour through a year. */
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parse } from "csv-parse/sync";

/** One hour, in the units of the series: hPa, °C, m/s. */
export interface Reading {
  /** ISO 8601; the series names no zone, so its hours are taken for UTC. */
  readonly date: string;
  readonly pressure: number;
  readonly temperature: number;
  readonly wind: number;
}

const FILE = "../data/seattle-weather-hourly-normals.csv";

/** All readings, oldest first. */
export async function loadReadings(): Promise<Reading[]> {
  // The package exports its code only; its data lies beside that.
  const file = fileURLToPath(new URL(FILE, import.meta.resolve("vega-datasets")));
  const rows = parse(await readFile(file), { columns: true }) as Record<keyof Reading, string>[];
  return rows.map(({ date, pressure, temperature, wind }) => ({
    date: `${date}Z`,
    pressure: Number(pressure),
    temperature: Number(temperature),
    wind: Number(wind),
  }));
}
