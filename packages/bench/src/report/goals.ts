/** Goals: what a figure must be, and whether it is. */
import type { SystemResult } from "../measure/rounds.js";

/** The figures of all systems of one scenario, by system and figure; undefined where it was not measured. */
export type FigureLookup = (system: string, figure: string) => number | undefined;

/** One figure to reach; `value` answers undefined when what it needs was not measured. */
export interface GoalSpec {
  readonly name: string;
  readonly what: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  value(figure: FigureLookup): number | undefined;
}

/** As it stands in the JSON; `value` is null and `reached` false when it was not measured. */
export interface Goal {
  readonly name: string;
  readonly what: string;
  readonly goal: string;
  readonly value: number | null;
  readonly reached: boolean;
}

export function lookupIn(systems: readonly SystemResult[]): FigureLookup {
  return (system, figure) => systems.find((one) => one.name === system)?.figures[figure];
}

/** Undefined when one of the two is; also when there is nothing to divide by. */
export function ratio(of: number | undefined, to: number | undefined): number | undefined {
  return of === undefined || to === undefined || to === 0 ? undefined : of / to;
}

/**
 * Messages per second at the consumer, in the steady window or over the whole run, whichever is better for the system:
 * one that takes in first and delivers afterwards is not judged by the time in which it does the former.
 */
export function bestRate(figure: FigureLookup, system: string, suffix = ""): number | undefined {
  const tail = suffix === "" ? "" : `_${suffix}`;
  const rates = ["messages_per_second", "messages_per_second_whole_run"].map((name) =>
    figure(system, name + tail),
  );
  const known = rates.filter((rate) => rate !== undefined);
  return known.length === 0 ? undefined : Math.max(...known);
}

export function judge(specs: readonly GoalSpec[], figure: FigureLookup): Goal[] {
  return specs.map((spec) => {
    const value = spec.value(figure);
    const bounds = [
      spec.atLeast === undefined ? [] : [`>= ${spec.atLeast}`],
      spec.atMost === undefined ? [] : [`<= ${spec.atMost}`],
    ].flat();
    const reached =
      value !== undefined &&
      value >= (spec.atLeast ?? Number.NEGATIVE_INFINITY) &&
      value <= (spec.atMost ?? Number.POSITIVE_INFINITY);
    const shown = value === undefined ? null : Number(value.toPrecision(4));
    return { name: spec.name, what: spec.what, goal: bounds.join(" and "), value: shown, reached };
  });
}

/** `ratios[figure][peer]`: the subject's figure divided by the peer's, for every figure both have. */
export type Ratios = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** `compared` maps a figure of the subject to the peers' figure it is divided by. */
export function ratiosOf(
  systems: readonly SystemResult[],
  subject: string,
  compared: Readonly<Record<string, string>>,
): Ratios {
  const figure = lookupIn(systems);
  const ratios: Record<string, Record<string, number>> = {};
  for (const [own, theirs] of Object.entries(compared)) {
    for (const peer of systems) {
      const value =
        peer.name === subject ? undefined : ratio(figure(subject, own), figure(peer.name, theirs));
      if (value === undefined) continue;
      ratios[own] ??= {};
      ratios[own][peer.name] = Number(value.toPrecision(4));
    }
  }
  return ratios;
}
