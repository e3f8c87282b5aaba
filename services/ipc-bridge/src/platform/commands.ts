/** `platform/command.*`: apps command devices by the ladder that everybody uses. */
import { type CommandWait, commandJson } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { PlatformCall, PlatformContext, PlatformMethod } from "../core/platform-method.js";

const STATES = ["accepted", "routed", "delivered", "executed", "verified"] as const;
/** Left of the time for the call when the answer is sent. */
const ANSWER_MS = 250;
const MAX_PRIORITY = 100;

type Fields = Readonly<Record<string, unknown>>;

/** `platform/command.send`: the answer is the command as it stands when it has come to `wait`, has ended, or the time for the call is over. */
export function sendCommand({ commands }: PlatformContext): PlatformMethod {
  return {
    name: "command.send",
    call: async (call) => {
      const fields = fieldsOf(call, [
        "tenant",
        "device",
        "command",
        "parameters",
        "ttlMs",
        "priority",
        "key",
        "wait",
      ]);
      const { parameters = {} } = fields;
      if (!isObject(parameters)) throw invalid("parameters must be an object");
      const wish = {
        tenant: textOf(fields, "tenant") ?? "",
        device: needed(fields, "device"),
        name: needed(fields, "command"),
        parameters,
        ttlMs: wholeOf(fields, "ttlMs", 1),
        priority: wholeOf(fields, "priority", -MAX_PRIORITY),
        idempotencyKey: textOf(fields, "key"),
        // Apps cannot set the safety envelope aside: that takes a person who says why.
        author: { kind: "app", name: call.app, roles: ["app"] },
        traceparent: undefined,
      } as const;
      return commandJson(await commands.submit(wish, waitOf(fields, call)));
    },
  };
}

/** `platform/command.get`: with `steps`, as soon as it has more steps than that, or has ended, or the time for the call is over. */
export function getCommand({ commands }: PlatformContext): PlatformMethod {
  return {
    name: "command.get",
    call: async (call) => {
      const fields = fieldsOf(call, ["tenant", "id", "steps"]);
      const [tenant, id] = [textOf(fields, "tenant") ?? "", needed(fields, "id")];
      const steps = wholeOf(fields, "steps", 0);
      const found =
        steps === undefined
          ? await commands.get(tenant, id)
          : await commands.next(tenant, id, steps, Math.max(0, call.timeoutMs - ANSWER_MS));
      return commandJson(found);
    },
  };
}

/** `platform/command.cancel`: certainly not executed when this answers. */
export function cancelCommand({ commands }: PlatformContext): PlatformMethod {
  return {
    name: "command.cancel",
    call: async (call) => {
      const fields = fieldsOf(call, ["tenant", "id"]);
      const author = { kind: "app", name: call.app, roles: ["app"] } as const;
      return commandJson(await commands.cancel(textOf(fields, "tenant") ?? "", needed(fields, "id"), author));
    },
  };
}

function waitOf(fields: Fields, { timeoutMs }: PlatformCall): CommandWait | undefined {
  const word = textOf(fields, "wait");
  if (word === undefined) return undefined;
  const state = STATES.find((one) => one === word);
  if (state === undefined) throw invalid(`wait is one of ${STATES.join(", ")}`);
  return { state, waitMs: Math.max(0, timeoutMs - ANSWER_MS) };
}

function fieldsOf({ payload }: PlatformCall, known: readonly string[]): Fields {
  let value: unknown;
  try {
    value = JSON.parse(payload.toString("utf8"));
  } catch (cause) {
    throw new AppError("command.invalid", "the request is no JSON", { cause });
  }
  if (!isObject(value)) throw invalid("the request is no JSON object");
  const strange = Object.keys(value).find((key) => !known.includes(key));
  if (strange !== undefined) throw invalid(`${strange} is no field; known are ${known.join(", ")}`);
  return value;
}

function needed(fields: Fields, name: string): string {
  const text = textOf(fields, name);
  if (text === undefined || text === "") throw invalid(`${name} must be given`);
  return text;
}

function textOf(fields: Fields, name: string): string | undefined {
  const value = fields[name];
  if (value === undefined || typeof value === "string") return value;
  throw invalid(`${name} must be text`);
}

function wholeOf(fields: Fields, name: string, least: number): number | undefined {
  const value = fields[name];
  if (value === undefined || (Number.isSafeInteger(value) && (value as number) >= least))
    return value as number;
  throw invalid(`${name} must be a whole number from ${least} on`);
}

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function invalid(message: string): AppError {
  return new AppError("command.invalid", message);
}
