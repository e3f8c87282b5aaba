/** Holds what a command is given to what its profile says. */
import { type CommandSpec, formatValue, type Problem } from "@myelin/config";

type ParameterSpec = CommandSpec["parameters"][string];

/** Values of parameters, by name. */
export type Parameters = Readonly<Record<string, unknown>>;

/** Everything that is wrong; paths begin with the parameter's name. */
export function checkParameters({ parameters }: CommandSpec, given: Parameters): readonly Problem[] {
  const problems: Problem[] = [];
  for (const [name, parameter] of Object.entries(parameters)) {
    const value = Object.hasOwn(given, name) ? given[name] : undefined;
    const rule = value === undefined ? (parameter.required ? "given" : undefined) : ruleOf(parameter, value);
    if (rule !== undefined) problems.push({ path: [name], value, rule });
  }
  const known = Object.keys(parameters);
  for (const name of Object.keys(given)) {
    if (Object.hasOwn(parameters, name)) continue;
    const rule = `left out: the parameter is unknown, known are ${known.join(", ") || "none"}`;
    problems.push({ path: [name], value: given[name], rule });
    if (problems.length > 100) break;
  }
  return problems;
}

function ruleOf({ type, min, max, words, maxLength }: ParameterSpec, value: unknown): string | undefined {
  switch (type) {
    case "boolean":
      return typeof value === "boolean" ? undefined : "true or false";
    case "string":
      if (typeof value !== "string") return "text";
      if (words !== undefined && !words.includes(value)) return `one of ${words.map(formatValue).join(", ")}`;
      return [...value].length > maxLength ? `at most ${maxLength} characters` : undefined;
    case "integer":
    case "number": {
      const isFit = type === "integer" ? Number.isSafeInteger(value) : Number.isFinite(value);
      if (!isFit) return type === "integer" ? "a whole number" : "a number";
      if (min !== undefined && (value as number) < min) return `at least ${min}`;
      return max !== undefined && (value as number) > max ? `at most ${max}` : undefined;
    }
  }
}
