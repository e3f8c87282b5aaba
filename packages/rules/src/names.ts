/** Whether what a rule names is there: points and commands of the profiles that it is about. */
import { type DeviceProfileSpec, nearestName } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { Rule } from "./rule.js";
import type { Source } from "./source.js";

/** What a profile gives names to. */
export type ProfileNames = Pick<DeviceProfileSpec, "points" | "commands">;

/**
 * The first name that none of the rule's profiles has, as `rule.invalid` with path, value, rule and the name that was probably meant; undefined: all
 * are there, or the rule says no profiles, or one of those it says is not known here, so that nobody can tell.
 */
export function unknownName(
  rule: Rule,
  profile: (name: string) => ProfileNames | undefined,
): AppError | undefined {
  const names = rule.spec.profiles ?? [];
  const known = names.map(profile).filter((one) => one !== undefined);
  if (known.length === 0 || known.length < names.length) return undefined;
  const points = new Set(known.flatMap((one) => Object.keys(one.points)));
  for (const [path, point] of pointsOf(rule))
    if (!points.has(point)) return invalid(rule, path, point, "point", [...points]);
  for (const list of ["actions", "cleared"] as const)
    for (const [i, { command }] of rule.spec[list].entries()) {
      // Another device may have any profile.
      if (command === undefined || command.device !== undefined) continue;
      const path = `spec.${list}[${i}].command`;
      const specs = known.flatMap(({ commands }) =>
        Object.hasOwn(commands, command.name) ? [commands[command.name]!] : [],
      );
      if (specs.length === 0) {
        const all = known.flatMap((one) => Object.keys(one.commands));
        return invalid(rule, `${path}.name`, command.name, "command", all);
      }
      const parameters = specs.flatMap((one) => Object.keys(one.parameters));
      for (const parameter of Object.keys(command.parameters ?? {}))
        if (!parameters.includes(parameter))
          return invalid(rule, `${path}.parameters.${parameter}`, parameter, "parameter", parameters);
    }
  return undefined;
}

/** Points with the place that names them. */
function* pointsOf({
  spec,
  sources,
  when,
  clearWhen,
}: Rule): Iterable<readonly [path: string, point: string]> {
  const { points = [], absence } = spec.trigger;
  for (const [i, point] of points.entries()) yield [`spec.trigger.points[${i}]`, point];
  for (const [i, point] of (absence?.points ?? []).entries())
    yield [`spec.trigger.absence.points[${i}]`, point];
  for (const [name, source] of sources) {
    const point = pointOf(source);
    if (point === undefined) continue;
    if (Object.hasOwn(spec.values, name)) yield [`spec.values.${name}`, point];
    else if (when?.inputs.has(name) === true) yield ["spec.when", point];
    else if (clearWhen?.inputs.has(name) === true) yield ["spec.clear.when", point];
    else yield ["spec.actions", point];
  }
}

function pointOf(source: Source): string | undefined {
  if (source.kind === "field") return undefined;
  return source.kind === "point" ? source.point : pointOf(source.of);
}

function invalid(
  { name, spec }: Rule,
  path: string,
  value: string,
  what: "point" | "command" | "parameter",
  known: readonly string[],
): AppError {
  const nearest = nearestName(value, known);
  const meant =
    nearest === undefined ? `known are ${known.join(", ") || "none"}` : `did you mean ${nearest}?`;
  const profiles = spec.profiles?.join(", ") ?? "";
  return new AppError(
    "rule.invalid",
    `rule ${name}: ${path}: ${value} is no ${what} of ${profiles}, ${meant}`,
    {
      details: { rule: name, path, value, ...(nearest !== undefined && { nearest }) },
    },
  );
}
