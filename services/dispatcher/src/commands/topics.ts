/** The topics on which devices get their commands and answer them, in the form of AWS IoT. */
import type { AnswerStatus } from "./ladder.js";

const PREFIX = "$aws/commands/things/";
const RESPONSE = /^\$aws\/commands\/things\/([^/]+)\/executions\/([^/]+)\/response(?:\/([^/]+))?$/;
const STATUSES: ReadonlySet<string> = new Set([
  "SUCCEEDED",
  "FAILED",
  "REJECTED",
  "IN_PROGRESS",
  "TIMED_OUT",
]);
const MAX_TEXT_CHARS = 256;

/** Where a device is given a command. */
export function requestTopic(device: string, id: string): string {
  return `${PREFIX}${device}/executions/${id}/request/json`;
}

/** Where it is told whether its answer was taken. */
export function verdictTopic(device: string, id: string, isTaken: boolean): string {
  return `${PREFIX}${device}/executions/${id}/response/json/${isTaken ? "accepted" : "rejected"}`;
}

/** A topic that belongs to commands. */
export function isCommandTopic(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** Whose answer to which command comes with a path; undefined: none. */
export function answerTopic(path: string): { readonly device: string; readonly id: string } | undefined {
  const [, device, id, format = "json"] = RESPONSE.exec(path) ?? [];
  return device === undefined || id === undefined || format !== "json" ? undefined : { device, id };
}

/** What a device says of an execution; undefined: nothing that can be read. */
export function readAnswer(
  payload: Buffer,
): { readonly status: AnswerStatus; readonly message: string } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch {
    // Told to the device: no answer could be read.
    return undefined;
  }
  if (typeof value !== "object" || value === null) return undefined;
  const { status, statusReason } = value as { readonly status?: unknown; readonly statusReason?: unknown };
  if (typeof status !== "string" || !STATUSES.has(status)) return undefined;
  return { status: status as AnswerStatus, message: reasonOf(statusReason) };
}

function reasonOf(reason: unknown): string {
  if (typeof reason !== "object" || reason === null) return "";
  const { reasonCode, reasonDescription } = reason as Readonly<Record<string, unknown>>;
  return [reasonCode, reasonDescription]
    .filter((text): text is string => typeof text === "string" && text !== "")
    .map((text) => text.slice(0, MAX_TEXT_CHARS).toWellFormed())
    .join(": ");
}
