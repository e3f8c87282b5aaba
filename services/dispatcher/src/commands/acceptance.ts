/** What a submission becomes: a command of the device's profile, complete, or a refusal. */
import { command as wire } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { checkParameters, type Profile, type ProfileCommand } from "@myelin/profile";

const DEFAULT_TTL_MS = 60_000;
const MAX_TTL_MS = 30 * 24 * 3_600_000;
const MAX_PRIORITY = 100;
const MAX_KEY_CHARS = 256;
const MAX_TEXT_CHARS = 1_024;
const MAX_PARAMETER_BYTES = 64 * 1_024;

const RISKS = {
  read: wire.Risk.READ,
  low: wire.Risk.LOW,
  high: wire.Risk.HIGH,
  stop: wire.Risk.STOP,
} as const;

/** @throws AppError `command.unsupported` */
export function commandOf(profile: Profile | undefined, device: string, name: string): ProfileCommand {
  if (profile === undefined)
    throw new AppError("command.unsupported", `${device} has no profile that is in force`);
  const found = profile.commands.get(name);
  if (found !== undefined) return found;
  const known = [...profile.commands.keys()].join(", ") || "none";
  throw new AppError(
    "command.unsupported",
    `the profile ${profile.name} has no command ${name}; known are ${known}`,
  );
}

/** @throws AppError `command.invalid` */
export function toCommand(
  submit: wire.Submit,
  { spec }: ProfileCommand,
  parameters: Readonly<Record<string, unknown>>,
  nowUs: number,
): wire.Command {
  const problems = checkParameters(spec, parameters);
  if (problems.length > 0) {
    const told = problems.slice(0, 10).map(({ path, rule }) => `${path.join(".")}: ${rule}`);
    throw new AppError("command.invalid", `the parameters do not fit: ${told.join("; ")}`);
  }
  const ttlMs = submit.ttlMs === 0 ? DEFAULT_TTL_MS : submit.ttlMs;
  if (ttlMs > MAX_TTL_MS) throw new AppError("command.invalid", "the time to live is at most 30 days");
  if (Math.abs(submit.priority) > MAX_PRIORITY)
    throw new AppError("command.invalid", `the priority is between -${MAX_PRIORITY} and ${MAX_PRIORITY}`);
  if (submit.idempotencyKey.length > MAX_KEY_CHARS)
    throw new AppError("command.invalid", `an idempotency key has at most ${MAX_KEY_CHARS} characters`);
  if (submit.overrideReason.length > MAX_TEXT_CHARS)
    throw new AppError("command.invalid", `a reason has at most ${MAX_TEXT_CHARS} characters`);
  return {
    id: submit.id,
    tenant: submit.tenant,
    device: submit.device,
    name: submit.name,
    parameters: submit.parameters,
    risk: RISKS[spec.risk],
    priority: submit.priority,
    createdAtUs: nowUs,
    expiresAtUs: nowUs + ttlMs * 1_000,
    author: submit.author,
    idempotencyKey: submit.idempotencyKey,
    overrideReason: submit.overrideReason,
    verify: verifyOf(spec, parameters),
    redeliver: spec.redelivery === "untilAnswered",
    steps: [{ state: wire.State.ACCEPTED, atUs: nowUs, cause: "", message: "" }],
    attempts: 0,
    mayHaveRun: false,
    traceparent: submit.traceparent,
    replayed: submit.replayed,
    attemptedAtUs: 0,
    executedAtUs: 0,
  };
}

/** @throws AppError `command.invalid` */
export function parametersOf(text: string): Readonly<Record<string, unknown>> {
  if (text.length > MAX_PARAMETER_BYTES)
    throw new AppError("command.invalid", `parameters take ${MAX_PARAMETER_BYTES} bytes at most`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new AppError("command.invalid", "the parameters are no JSON", { cause });
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Readonly<Record<string, unknown>>;
  throw new AppError("command.invalid", "the parameters are no JSON object");
}

function verifyOf(
  { verify }: ProfileCommand["spec"],
  parameters: Readonly<Record<string, unknown>>,
): wire.Verify | undefined {
  if (verify === undefined) return undefined;
  const { point, equals, tolerance = 0, settle = 0, within } = verify;
  const { parameter, number, boolean, text } = equals;
  const expected = expectedOf(parameter === undefined ? (number ?? boolean ?? text) : parameters[parameter]);
  return { point, expected, tolerance, settleMs: settle, withinMs: within };
}

function expectedOf(value: unknown): wire.Verify["expected"] {
  switch (typeof value) {
    case "number":
      return { $case: "number", value };
    case "boolean":
      return { $case: "boolean", value };
    default:
      return { $case: "text", value: String(value) };
  }
}
