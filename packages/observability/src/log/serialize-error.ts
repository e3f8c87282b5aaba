/** Errors as log fields. */
import { AppError } from "@myelin/kernel";

// Causes can be chained without end by a bug; what lies deeper says little.
const MAX_CAUSES = 5;

/**
 * An error as plain data: code, message, details and the messages of its causes. The stack is added only for defects
 * of this program and for foreign errors, because a device that is away has no interesting stack.
 */
export function serializeError(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error) && !AppError.is(thrown)) return { message: String(thrown) };
  const fields: Record<string, unknown> = { message: thrown.message };
  const foreignCode = (thrown as { code?: unknown }).code;
  if (typeof foreignCode === "string") fields.code = foreignCode;
  if (AppError.is(thrown)) {
    if (thrown.details !== undefined) fields.details = thrown.details;
  } else fields.name = thrown.name;
  if (!AppError.is(thrown) || thrown.family === "ours") fields.stack = thrown.stack;
  const causes = causesOf(thrown);
  if (causes.length > 0) fields.causes = causes;
  if (thrown instanceof AggregateError) {
    fields.errors = thrown.errors.slice(0, MAX_CAUSES).map((e) => serializeError(e));
  }
  return fields;
}

function causesOf(error: Error): string[] {
  const causes: string[] = [];
  let cause = error.cause;
  while (cause !== undefined && cause !== null && causes.length < MAX_CAUSES) {
    causes.push(cause instanceof Error ? `${cause.name}: ${cause.message}` : String(cause));
    cause = cause instanceof Error ? cause.cause : undefined;
  }
  return causes;
}
