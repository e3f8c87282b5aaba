/** Starts the roles of the load driver, each a process of its own. */
import { type Controlled, startControlled } from "../process/controlled.js";
import { buildDriver } from "./build.js";

/** Options as the driver's `--help` names them; `undefined` and `false` leave one out, `true` gives a bare flag. */
export type DriverOptions = Readonly<Record<string, string | number | boolean | undefined>>;

/** What the driver can play. */
export type DriverRole = "publish" | "subscribe" | "idle" | "http";

/** Get one from `openDriver`. */
export class Driver {
  constructor(readonly path: string) {}

  /** Resolves when the role has all its connections; `readyMs` bounds that. */
  start(role: DriverRole, options: DriverOptions, readyMs = 60_000): Promise<Controlled> {
    return startControlled({
      name: `driver ${role}`,
      command: this.path,
      args: [role, ...driverArguments(options)],
      readyMs,
    });
  }
}

/** Command line for the options, in the order they are given. */
export function driverArguments(options: DriverOptions): string[] {
  return Object.entries(options).flatMap(([name, value]) => {
    if (value === undefined || value === false) return [];
    return value === true ? [`--${name}`] : [`--${name}`, String(value)];
  });
}

/** Builds the driver where needed. @throws AppError as `buildDriver` does. */
export async function openDriver(): Promise<Driver> {
  return new Driver(await buildDriver());
}
