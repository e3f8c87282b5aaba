/** What the names of a rule stand for: a tree from values down to points and fields. */
import type { RuleSpec, RuleValueSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { BaselineOptions } from "./baseline.js";
import type { Band } from "./spectrum.js";
import type { WindowFunction } from "./window.js";

/** Names that texts of actions may hold besides those of expressions. */
export const RULE_NAMES: ReadonlySet<string> = new Set(["rule", "severity", "state"]);

/** Where a value comes from. Two with the same key are the same, in whichever rules they stand. */
export type Source =
  | { readonly kind: "point"; readonly key: string; readonly point: string }
  | { readonly kind: "field"; readonly key: string; readonly path: readonly string[] }
  | { readonly kind: "age"; readonly key: string; readonly of: Source }
  | {
      readonly kind: "list";
      readonly key: string;
      readonly of: Source;
      readonly what: "rms" | "peak" | "crest" | Band;
    }
  | {
      readonly kind: "window";
      readonly key: string;
      readonly of: Source;
      readonly overMs: number;
      readonly what: WindowFunction;
    }
  | {
      readonly kind: "anomaly";
      readonly key: string;
      readonly of: Source;
      readonly options: BaselineOptions;
    };

const WINDOWS = ["average", "min", "max", "sum", "count", "deviation", "rate"] as const;
const LISTS = ["rms", "peak", "crest"] as const;

/** Levels of values made of values. */
const MAX_DEPTH = 4;

/** @throws AppError `rule.invalid` for values that are made of themselves, or of something that cannot be */
export function sourcesOf(
  rule: string,
  { values }: RuleSpec,
  names: Iterable<string>,
): ReadonlyMap<string, Source> {
  const resolve = (name: string, depth: number): Source => {
    const spec = Object.hasOwn(values, name) ? values[name] : undefined;
    if (spec === undefined) return point(name);
    if (depth > MAX_DEPTH)
      throw invalid(rule, name, `values made of values, more than ${MAX_DEPTH} levels deep`);
    // A value may have the name of the point that it is made of.
    const inner = (of: string): Source => (of === name ? point(of) : resolve(of, depth + 1));
    return made(rule, name, spec, inner);
  };
  return new Map([...names].map((name) => [name, resolve(name, 1)]));
}

function point(name: string): Source {
  return { kind: "point", key: `p:${name}`, point: name };
}

function made(rule: string, name: string, spec: RuleValueSpec, resolve: (name: string) => Source): Source {
  if (spec.point !== undefined) return resolve(spec.point);
  if (spec.field !== undefined) {
    const path = spec.field.split(".");
    // Which messages they are in is said by the trigger, so that fields are each rule's own.
    return { kind: "field", key: `f:${rule}:${spec.field}`, path };
  }
  if (spec.age !== undefined) {
    const of = resolve(spec.age.point);
    if (of.kind !== "point") throw invalid(rule, name, "the age of something that is no point");
    return { kind: "age", key: `a:${of.key}`, of };
  }
  for (const what of WINDOWS) {
    const window = spec[what];
    if (window === undefined) continue;
    const of = momentary(resolve(window.point), rule, name);
    return { kind: "window", key: `w:${window.over}:${of.key}`, of, overMs: window.over, what };
  }
  for (const what of LISTS) {
    const list = spec[what];
    if (list !== undefined) return ofList(resolve(list.point), what, what);
  }
  if (spec.band !== undefined) {
    const { point: of, ...band } = spec.band;
    return ofList(resolve(of), band, `${band.sampleHz}/${band.fromHz}/${band.toHz}`);
  }
  const { point: of, ...options } = spec.anomaly!;
  const source = resolve(of);
  if (source.kind === "age" || source.kind === "anomaly")
    throw invalid(rule, name, "the oddness of an age or oddness");
  return {
    kind: "anomaly",
    key: `o:${JSON.stringify(Object.values(options))}:${keyOf(source)}`,
    of: source,
    options,
  };
}

/** Keys of windows leave out what is read of them, because one window has the answers to all. */
export function keyOf(source: Source): string {
  return source.kind === "window" ? `${source.key}:${source.what}` : source.key;
}

function ofList(of: Source, what: "rms" | "peak" | "crest" | Band, key: string): Source {
  return { kind: "list", key: `l:${key}:${of.key}`, of, what };
}

function momentary(of: Source, rule: string, name: string): Source {
  if (of.kind === "point" || of.kind === "field" || of.kind === "list") return of;
  throw invalid(rule, name, "a window over something that is no sample");
}

function invalid(rule: string, name: string, what: string): AppError {
  const path = `spec.values.${name}`;
  return new AppError("rule.invalid", `rule ${rule}: ${path}: ${what}`, { details: { rule, path } });
}
