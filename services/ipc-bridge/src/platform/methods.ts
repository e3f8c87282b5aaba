/** The methods of the platform: one line each. */
import { AppError } from "@myelin/kernel";
import type { PlatformContext, PlatformMethod, PlatformMethods } from "../core/platform-method.js";
import { apps } from "./apps.js";
import { cancelCommand, getCommand, sendCommand } from "./commands.js";
import { ping } from "./ping.js";

const METHODS: readonly ((context: PlatformContext) => PlatformMethod)[] = [
  ping,
  apps,
  sendCommand,
  getCommand,
  cancelCommand,
];

/** @throws AppError `internal.invalid_argument` when two methods have one name */
export function createPlatformMethods(context: PlatformContext): PlatformMethods {
  const methods = new Map<string, PlatformMethod>();
  for (const create of METHODS) {
    const method = create(context);
    if (methods.has(method.name)) {
      throw new AppError("internal.invalid_argument", `two platform methods are called ${method.name}`);
    }
    methods.set(method.name, method);
  }
  return methods;
}
