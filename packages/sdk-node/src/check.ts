/** What the public methods make of arguments that cannot be: a sentence instead of a TypeError from somewhere inside. */
import { AppError } from "@myelin/kernel";

/** @throws AppError `internal.invalid_argument` with the sentence */
export function check(good: boolean, sentence: string): asserts good {
  if (!good) throw new AppError("internal.invalid_argument", sentence);
}

/** An object of options; nothing at all is none given. @throws AppError `internal.invalid_argument` */
export function checkOptions(method: string, options: unknown): void {
  check(typeof options === "object" && options !== null, `${method}: the options must be an object`);
}

/** @throws AppError `internal.invalid_argument` */
export function checkFunction(method: string, value: unknown): void {
  check(typeof value === "function", `${method} needs a function, not ${nameOf(value)}`);
}

/** @throws AppError `internal.invalid_argument` */
export function checkText(method: string, what: string, value: unknown): void {
  check(
    typeof value === "string" && value !== "",
    `${method}: ${what} must be a text that is not empty, not ${nameOf(value)}`,
  );
}

/** @throws AppError `internal.invalid_argument` */
export function checkSignal(method: string, signal: unknown): void {
  check(
    signal === undefined || signal instanceof AbortSignal,
    `${method} takes an AbortSignal or nothing, not ${nameOf(signal)}`,
  );
}

/** @throws AppError `internal.invalid_argument` */
export function checkTimeout(method: string, timeoutMs: unknown): void {
  check(
    timeoutMs === undefined || (Number.isSafeInteger(timeoutMs) && (timeoutMs as number) > 0),
    `${method}: timeoutMs must be a whole number of milliseconds above 0, not ${nameOf(timeoutMs)}`,
  );
}

function nameOf(value: unknown): string {
  if (value === null || value === undefined || typeof value === "number") return String(value);
  if (value === "") return "an empty one";
  return Array.isArray(value) ? "an array" : `a value of type ${typeof value}`;
}

/**
 * Calls a function of the application that answers nothing. What it throws is a defect of the application and is told as a warning
 * of the process (code `MYELIN_CALLBACK`): it must stop neither a connection nor the delivery of messages.
 */
export function notify<A extends readonly unknown[]>(
  name: string,
  callback: ((...args: A) => unknown) | undefined,
  ...args: A
): void {
  try {
    callback?.(...args);
  } catch (thrown) {
    const text = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown);
    process.emitWarning(`${name} of the application threw: ${text}`, { code: "MYELIN_CALLBACK" });
  }
}
