/** Conditions of the machine under which a test can run, as options of a test or a suite. */
import type { TaskMeta } from "vitest";
import { environmentVariable, findProgram } from "./environment.js";

declare module "vitest" {
  interface TaskMeta {
    /** Read by the repository's reporter, which tells missing hardware from a missing program. */
    lacks?: Lack;
  }
}

/** What a skipped test lacked. Only missing hardware is forgiven in CI. */
export interface Lack {
  readonly kind: "hardware" | "program";
  readonly name: string;
}

/** Second argument of `test` or `describe`; the reporter of the repository reads `meta.lacks`. */
export interface Requirement {
  readonly skip: boolean;
  readonly meta: Partial<TaskMeta>;
}

/**
 * `describe("a serial line", requires.hardware("TEST_SERIAL_PORT"), () => …)` runs where the need is met and is
 * reported as skipped, by name and with what was missing, where it is not.
 */
export const requires = {
  /** Real hardware, pointed at by an environment variable such as `TEST_SERIAL_PORT=/dev/ttyUSB0`. */
  hardware(variable: string): Requirement {
    return requirement({ kind: "hardware", name: variable }, environmentVariable(variable) !== undefined);
  },

  /** A program on PATH or in the system's folders of daemons. In CI its absence is a failure. */
  program(name: string): Requirement {
    return requirement({ kind: "program", name }, findProgram(name) !== undefined);
  },
};

function requirement(lack: Lack, met: boolean): Requirement {
  return met ? { skip: false, meta: {} } : { skip: true, meta: { lacks: lack } };
}
