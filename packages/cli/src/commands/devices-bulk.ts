/** `myelin devices import` and `export`: devices by the million, as text. */
import { once } from "node:events";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import type { DeviceList, DeviceRegistryClient } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import {
  type DeviceFormat,
  deviceText,
  importDevices,
  type RefusedLine,
  readDevices,
  refusedJson,
} from "@myelin/listener/devices";
import { SingleBar } from "cli-progress";
import { EXIT, endWithReader, note, print, printable, printJson } from "../output.js";

const EXPORTED_AT_ONCE = 1_000;
/** Refused lines that are told one by one; all are counted. */
const MAX_TOLD = 1_000;

/** What of the options these verbs look at. */
export interface BulkOptions {
  readonly json: boolean;
  readonly csv: boolean;
  readonly tenant: string;
}

/** Exit code 1 when lines were refused. @throws AppError `device.unreadable` */
export async function importFile(
  client: DeviceRegistryClient,
  file: string,
  { json, csv, tenant }: BulkOptions,
): Promise<number> {
  const format: DeviceFormat = csv || file.toLowerCase().endsWith(".csv") ? "csv" : "ndjson";
  const source = file === "-" ? process.stdin : createReadStream(file);
  const bar = process.stderr.isTTY && !json ? await startBar(file) : undefined;
  const errors: object[] = [];
  let told = 0;
  const onRefused = (refused: RefusedLine): void => {
    told += 1;
    if (told > MAX_TOLD) return;
    if (json) errors.push(refusedJson(refused));
    else aside(bar, `${file}:${refused.line}: ${printable(refused.error.message)}`);
  };
  let read = 0;
  async function* counted(): AsyncGenerator<Uint8Array, void> {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      read += chunk.length;
      yield chunk;
    }
  }
  try {
    const { imported, created, refused } = await importDevices(
      client,
      readDevices(counted(), format, tenant),
      {
        onRefused,
        onProgress: (report) => bar?.update(read, { devices: report.imported, refused: report.refused }),
      },
    );
    bar?.stop();
    if (json) printJson({ imported, created, refused, errors });
    else {
      if (refused > MAX_TOLD) note(`${refused - MAX_TOLD} more lines were refused.`);
      print(`Devices imported: ${imported}, new of them: ${created}; lines refused: ${refused}.`);
    }
    return refused === 0 ? EXIT.ok : EXIT.failed;
  } finally {
    bar?.stop();
  }
}

/** Writes all devices that are wanted to standard output. @throws AppError `bus.*`, `request.*` */
export async function exportDevices(
  client: DeviceRegistryClient,
  wanted: DeviceList,
  { csv }: BulkOptions,
): Promise<number> {
  endWithReader();
  for await (const chunk of deviceText(client.pages(wanted, EXPORTED_AT_ONCE), csv ? "csv" : "ndjson")) {
    if (!process.stdout.write(chunk)) await once(process.stdout, "drain");
  }
  return EXIT.ok;
}

/** A bar over the bytes of the file; standard input has no end that is known. */
async function startBar(file: string): Promise<SingleBar> {
  const size = file === "-" ? 0 : await sizeOf(file);
  const what = "{devices} devices, {refused} refused";
  const format = size > 0 ? `{bar} {percentage} % | ${what} | {eta_formatted} left` : what;
  const bar = new SingleBar({ format, hideCursor: true, clearOnComplete: true, etaBuffer: 50 });
  bar.start(size, 0, { devices: 0, refused: 0 });
  return bar;
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size;
  } catch (cause) {
    throw new AppError("device.unreadable", `${file} cannot be read`, { cause });
  }
}

/** A line of its own, above the bar. */
function aside(bar: SingleBar | undefined, line: string): void {
  if (bar !== undefined) process.stderr.write("\r\u001b[K");
  note(line);
}
