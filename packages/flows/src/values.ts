/** What expressions of a flow are evaluated over, and what goes in and comes out of a run. */
import type { FlowSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { CompiledFlow } from "./compile.js";
import type { RunState } from "./state.js";
import type { Values } from "./template.js";

/** Largest input of a run, and largest result of an attempt, as JSON. */
export const MAX_VALUE_BYTES = 64 * 1024;

/** What expressions may name. */
export function valuesOf(
  run: { readonly id: string; readonly flow: string; readonly input: Values },
  state: RunState,
): { readonly input: Values; readonly steps: Values; readonly run: Values } {
  const steps: Record<string, unknown> = {};
  for (const [name, { status, outputs }] of state.steps) steps[name] = { ...outputs, state: status };
  return { input: run.input, steps, run: { id: run.id, flow: run.flow } };
}

/** @throws AppError `flow.invalid` for an input that the flow does not take */
export function checkInput(flow: Pick<CompiledFlow, "name" | "spec">, input: unknown): Values {
  const problem = inputProblem(flow.spec.input, input);
  if (problem === undefined) return input as Values;
  throw new AppError("flow.invalid", `the flow ${flow.name} does not take its input: ${problem}`);
}

function inputProblem(wanted: FlowSpec["input"], input: unknown): string | undefined {
  if (typeof input !== "object" || input === null || Array.isArray(input)) return "it must be an object";
  for (const name of Object.keys(input))
    if (!Object.hasOwn(wanted, name))
      return `${name.slice(0, 64)} is not among ${Object.keys(wanted).join(", ") || "its inputs"}`;
  for (const [name, { type, required }] of Object.entries(wanted)) {
    const value = Object.hasOwn(input, name) ? (input as Values)[name] : undefined;
    if (value === undefined) {
      if (required) return `${name} must be given`;
    } else if (!isOfType(value, type)) return `${name} must be of type ${type}`;
  }
  if (JSON.stringify(input).length > MAX_VALUE_BYTES) return `it is larger than ${MAX_VALUE_BYTES} bytes`;
  return undefined;
}

function isOfType(value: unknown, type: FlowSpec["input"][string]["type"]): boolean {
  switch (type) {
    case "number":
      return typeof value === "number";
    case "integer":
      return Number.isSafeInteger(value);
    case "list":
      return Array.isArray(value);
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

/** @throws AppError `expression.failed`, `flow.invalid` for one that is too large */
export function evaluateOutputs(outputs: CompiledFlow["outputs"], values: Values): Values {
  const made = Object.fromEntries(
    outputs.map(([name, expression]) => [name, expression.evaluate(values) ?? null]),
  );
  if (JSON.stringify(made).length <= MAX_VALUE_BYTES) return made;
  throw new AppError("flow.invalid", `outputs are larger than ${MAX_VALUE_BYTES} bytes`);
}
