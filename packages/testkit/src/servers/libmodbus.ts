/** A Modbus server of libmodbus, built from a page of C: a unit that nobody here wrote. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { AppError } from "@myelin/kernel";
import { findProgram } from "../environment.js";
import { freePort } from "../ports.js";
import { type ManagedProcess, startProcess } from "../process/managed-process.js";
import { tempDir } from "../temp-dir.js";

/** What `requires.program` asks for: the header that building it takes. */
export const LIBMODBUS_HEADER = "/usr/include/modbus/modbus.h";

const SOURCE = fileURLToPath(new URL("../../modbus/libmodbus-server.c", import.meta.url));

/** Where it is spoken to: over TCP on a free port, or on a serial line. */
export type LibmodbusLine =
  | { readonly kind: "tcp" }
  | { readonly kind: "rtu"; readonly path: string; readonly baud: number; readonly unit: number };

/** A running server. Place n of its registers begins as n, coils and discrete inputs as 0; each table has 2,000 places. */
export interface LibmodbusServer extends AsyncDisposable {
  readonly process: ManagedProcess;
  /** 0 on a serial line. */
  readonly port: number;
}

/**
 * Builds and starts it. Guard tests that call it with `requires.program(LIBMODBUS_HEADER)`.
 * @throws AppError `setup.missing_tool` where the library or a C compiler is missing.
 */
export async function startLibmodbus(line: LibmodbusLine): Promise<LibmodbusServer> {
  const compiler = findProgram("cc");
  if (compiler === undefined) throw new AppError("setup.missing_tool", "there is no C compiler");
  const dir = await tempDir("libmodbus");
  try {
    const command = dir.join("server");
    await promisify(execFile)(compiler, [
      "-O2",
      "-I/usr/include/modbus",
      "-o",
      command,
      SOURCE,
      "-lmodbus",
    ]).catch((cause) => {
      throw new AppError("setup.missing_tool", "the server of libmodbus cannot be built", { cause });
    });
    const port = line.kind === "tcp" ? await freePort() : 0;
    const args =
      line.kind === "tcp"
        ? ["tcp", "127.0.0.1", String(port)]
        : ["rtu", line.path, String(line.baud), String(line.unit)];
    const managed = await startProcess({ name: "libmodbus", command, args, ready: { line: /^ready$/ } });
    return {
      process: managed,
      port,
      async [Symbol.asyncDispose]() {
        await managed[Symbol.asyncDispose]();
        await dir[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await dir[Symbol.asyncDispose]();
    throw error;
  }
}
