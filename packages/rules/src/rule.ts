/** A rule, compiled: what it is about, what it reads, and what must hold. */
import { firesOnce, type RuleSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { type Condition, compileCondition, type VariableType, variablesOf } from "@myelin/profile";
import { matchesPattern } from "./pattern.js";
import { RULE_NAMES, type Source, sourcesOf } from "./source.js";

/** Names that expressions have besides points and values. */
const BUILT_IN: Readonly<Record<string, VariableType>> = {
  device: "string",
  topic: "string",
  time: "double",
  hour: "double",
  weekday: "double",
  online: "bool",
};

/** Whether it is told of by a name that is neither a point nor a value. */
export function isBuiltIn(name: string): boolean {
  return Object.hasOwn(BUILT_IN, name);
}

const PLACES = /\$\{([A-Za-z][A-Za-z0-9_]*)\}/g;

/** One version of a rule; has no state. */
export class Rule {
  readonly when: Condition | undefined;
  readonly clearWhen: Condition | undefined;
  readonly isOnce: boolean;
  /** What names stand for, for all that its expressions and actions name and that is not built in. */
  readonly sources: ReadonlyMap<string, Source>;
  readonly #devices: ReadonlySet<string> | undefined;
  readonly #patterns: readonly string[];
  readonly #profiles: ReadonlySet<string> | undefined;

  /** @throws AppError `rule.invalid` with the path in the resource, for an expression that is none or a value made of itself */
  constructor(
    readonly name: string,
    readonly spec: RuleSpec,
  ) {
    const { devices, profiles } = spec;
    this.isOnce = firesOnce(spec);
    this.#devices = devices && new Set(devices.filter((one) => !/[*?]/.test(one)));
    this.#patterns = devices?.filter((one) => /[*?]/.test(one)) ?? [];
    this.#profiles = profiles && new Set(profiles);
    const named = new Set<string>();
    this.when = this.#compile("spec.when", spec.when, named);
    this.clearWhen = this.#compile("spec.clear.when", spec.clear?.when, named);
    for (const [, name = ""] of JSON.stringify([spec.actions, spec.cleared]).matchAll(PLACES))
      if (!isBuiltIn(name) && !RULE_NAMES.has(name)) named.add(name);
    this.sources = sourcesOf(this.name, spec, named);
  }

  /** Asked once per device and version of the rules. */
  isAbout(device: string, profile: string): boolean {
    return this.#profiles?.has(profile) !== false && this.isNamed(device);
  }

  /** Whether it is about a device of this id, whatever its profile. */
  isNamed(device: string): boolean {
    if (this.#devices === undefined) return true;
    return this.#devices.has(device) || this.#patterns.some((pattern) => matchesPattern(pattern, device));
  }

  #compile(path: string, text: string | undefined, named: Set<string>): Condition | undefined {
    if (text === undefined) return undefined;
    try {
      const types: Record<string, VariableType> = {};
      for (const name of variablesOf(text)) {
        if (isBuiltIn(name)) continue;
        named.add(name);
        types[name] = typeOf(this.spec, name);
      }
      return compileCondition(text, { ...BUILT_IN, ...types });
    } catch (cause) {
      throw new AppError("rule.invalid", `rule ${this.name}: ${path}: ${AppError.from(cause).message}`, {
        cause,
        details: { rule: this.name, path },
      });
    }
  }
}

/** Points may hold anything; what is made of several samples is a number. */
function typeOf(spec: RuleSpec, name: string): VariableType {
  const value = Object.hasOwn(spec.values, name) ? spec.values[name] : undefined;
  return value === undefined || value.point !== undefined || value.field !== undefined ? "dyn" : "double";
}
