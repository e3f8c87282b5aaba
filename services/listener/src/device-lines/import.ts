/** Brings devices into the registry, many at a time. */
import type { DeviceChange, DeviceRegistryClient } from "@myelin/bus";
import type { AppError } from "@myelin/kernel";
import type { DeviceLine } from "./read.js";

/** Goes out at once: enough for every partition to have a full request. */
const AT_ONCE = 6_400;

/** A line that was not imported. */
export interface RefusedLine {
  readonly line: number;
  readonly error: AppError;
}

/** What became of an import. */
export interface ImportReport {
  /** Devices that are in the registry now as the lines say. */
  readonly imported: number;
  /** Of these, those that were not known before. */
  readonly created: number;
  readonly refused: number;
}

/** Told as it goes. */
export interface ImportWatch {
  onRefused(line: RefusedLine): void;
  onProgress?(report: ImportReport): void;
}

/**
 * Writes devices, each for itself, over what is there; reads on while a part is written. What a registry that is away has not
 * taken is refused like what is wrong.
 * @throws what `lines` throws, after what was read before is written
 */
export async function importDevices(
  client: Pick<DeviceRegistryClient, "writeAll">,
  lines: AsyncIterable<DeviceLine>,
  watch: ImportWatch,
): Promise<ImportReport> {
  const count = { imported: 0, created: 0, refused: 0 };
  const refuse = (line: number, error: AppError): void => {
    count.refused += 1;
    watch.onRefused({ line, error });
  };
  const write = async (some: readonly Changed[]): Promise<void> => {
    const outcomes = await client.writeAll(
      some.map(({ change }) => change),
      { brief: true },
    );
    for (const [i, { error, created }] of outcomes.entries()) {
      if (error !== undefined) refuse(some[i]!.line, error);
      else {
        count.imported += 1;
        if (created === true) count.created += 1;
      }
    }
    watch.onProgress?.({ ...count });
  };
  let some: Changed[] = [];
  let writing = Promise.resolve();
  try {
    for await (const one of lines) {
      if ("error" in one) refuse(one.line, one.error);
      else some.push(one);
      if (some.length < AT_ONCE) continue;
      await writing;
      writing = write(some);
      // Told when it is waited for.
      writing.catch(() => undefined);
      some = [];
    }
  } finally {
    await writing;
    if (some.length > 0) await write(some);
  }
  return count;
}

type Changed = { readonly line: number; readonly change: DeviceChange };

/** Of a refused line, for people and programs. */
export function refusedJson({ line, error: { code, message, details } }: RefusedLine): object {
  return { line, ...(details?.path !== undefined && { path: details.path }), code, detail: message };
}
