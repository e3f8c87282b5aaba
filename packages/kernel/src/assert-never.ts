import { AppError } from "./errors/app-error.js";

/**
 * Ends a `switch` over a closed set: the compiler refuses a forgotten case.
 * @throws AppError `internal.unreachable` with the value, when data from outside broke the types.
 */
export function assertNever(value: never, what = "value"): never {
  throw new AppError("internal.unreachable", `unexpected ${what}: ${String(value)}`);
}
