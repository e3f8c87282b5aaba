/** What somebody wants of a device, as the body of a request says it. */
import type { CommandWish } from "@myelin/bus";
import { parseDurationMs } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { FastifyRequest } from "fastify";

/** The body of a submission, read. */
export interface Submission extends Omit<CommandWish, "tenant" | "author" | "device"> {
  /** One of the two. */
  readonly device: string | undefined;
  readonly group: string | undefined;
  readonly rate: number;
  readonly stopOnFailures: number;
}

const KNOWN = new Set([
  "device",
  "group",
  "command",
  "parameters",
  "ttl",
  "priority",
  "override",
  "rate",
  "stopOnFailures",
]);
const DEFAULT_RATE = 10;
const MAX_RATE = 1_000;
const MAX_KEY_LENGTH = 256;

/** @throws AppError `protocol.malformed`, `command.invalid` */
export function submissionOf({ body, headers }: FastifyRequest): Submission {
  const value = jsonOf(body);
  for (const key of Object.keys(value))
    if (!KNOWN.has(key)) throw invalid(`${key} is no field of a command; known are ${[...KNOWN].join(", ")}`);
  const device = textOf(value, "device");
  const group = textOf(value, "group");
  if ((device === undefined) === (group === undefined)) throw invalid("name a device or a group");
  const name = textOf(value, "command");
  if (name === undefined) throw invalid("command must be given");
  const { parameters = {}, priority = 0, override, rate = DEFAULT_RATE, stopOnFailures = 1 } = value;
  if (!isObject(parameters)) throw invalid("parameters must be an object");
  if (!Number.isInteger(priority)) throw invalid("priority must be a whole number");
  if (typeof rate !== "number" || !(rate >= 0.1 && rate <= MAX_RATE))
    throw invalid(`rate must be a number from 0.1 to ${MAX_RATE}`);
  if (!Number.isInteger(stopOnFailures) || (stopOnFailures as number) < 0)
    throw invalid("stopOnFailures must be a whole number from 0 on");
  const { traceparent } = headers;
  return {
    device,
    group,
    name,
    parameters,
    priority: priority as number,
    rate,
    stopOnFailures: stopOnFailures as number,
    ttlMs: ttlOf(textOf(value, "ttl")),
    overrideReason: reasonOf(override),
    idempotencyKey: keyOf(headers["idempotency-key"]),
    traceparent: typeof traceparent === "string" ? traceparent : undefined,
  };
}

/** A duration from 0 to 60s of a query. @throws AppError `protocol.malformed` */
export function timeoutOf(text: string): number {
  const ms = text === "0" ? 0 : tryDuration(text);
  if (ms !== undefined && ms <= 60_000) return ms;
  throw new AppError("protocol.malformed", "timeout takes a duration from 0 to 60s");
}

function ttlOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = tryDuration(text);
  if (ms !== undefined && ms >= 1) return Math.round(ms);
  throw invalid("ttl must be a duration such as 30s");
}

function tryDuration(text: string): number | undefined {
  try {
    return parseDurationMs(text);
  } catch {
    // Told by the caller, which knows what it is of.
    return undefined;
  }
}

function reasonOf(override: unknown): string | undefined {
  if (override === undefined) return undefined;
  const reason = isObject(override) ? override.reason : undefined;
  if (typeof reason === "string" && reason.trim() !== "") return reason;
  throw invalid("override must be an object with a reason");
}

function keyOf(key: unknown): string | undefined {
  if (key === undefined) return undefined;
  if (typeof key === "string" && key !== "" && key.length <= MAX_KEY_LENGTH) return key;
  throw new AppError("protocol.malformed", `Idempotency-Key takes 1 to ${MAX_KEY_LENGTH} characters`);
}

function textOf(value: Readonly<Record<string, unknown>>, name: string): string | undefined {
  const text = value[name];
  if (text === undefined || (typeof text === "string" && text !== "")) return text;
  throw invalid(`${name} must be text`);
}

function jsonOf(body: unknown): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.isBuffer(body) ? body.toString("utf8") : "");
  } catch (cause) {
    throw new AppError("protocol.malformed", "the body is no JSON", { cause });
  }
  if (isObject(value)) return value;
  throw new AppError("protocol.malformed", "the body is no JSON object");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(message: string): AppError {
  return new AppError("command.invalid", message);
}
