/** Alternating rounds: A B C, A B C, …, so that a change of the machine's mood meets all systems alike. */
import { AppError } from "@myelin/kernel";
import type { Running, StartOptions, System } from "../systems/system.js";
import { type Figures, suffixed, summarize } from "./stats.js";

/** One thing to measure in each round; figures of cases of the same system are merged, told apart by `suffix`. */
export interface Case {
  readonly system: System;
  readonly suffix: string;
  readonly start: StartOptions;
  /** Starts another process than the whole system, for example one service. */
  readonly open?: () => Promise<Running>;
  measure(running: Running): Promise<Figures>;
}

/** The medians of one system over all rounds, or why there are none. */
export interface SystemResult {
  readonly name: string;
  readonly version: string;
  readonly figures: Figures;
  readonly spread: Readonly<Record<string, readonly [number, number]>>;
  readonly rounds: number;
  /** Why the system was not measured at all. */
  readonly missing?: string;
  /** What failed in single cases; their figures are absent. */
  readonly errors?: readonly string[];
}

/**
 * Starts each case's system fresh for each of its runs, so that no two systems share the machine. A failing case is
 * reported in its system's result and the others go on; after a failure the case is not tried in later rounds.
 */
export async function runRounds(
  cases: readonly Case[],
  rounds: number,
  progress: (line: string) => void,
): Promise<SystemResult[]> {
  const measured = new Map<string, { version: string; rounds: Figures[][]; errors: string[] }>();
  const failed = new Set<Case>();
  for (let round = 0; round < rounds; round++) {
    for (const one of cases) {
      const { name } = one.system;
      const label = one.suffix === "" ? name : `${name} ${one.suffix}`;
      const entry = measured.get(name) ?? { version: "unknown", rounds: [], errors: [] };
      measured.set(name, entry);
      if (failed.has(one)) continue;
      try {
        progress(`round ${round + 1}/${rounds}: ${label}`);
        await using running = await (one.open?.() ?? one.system.start(one.start));
        entry.version = running.version;
        const figures = suffixed(await one.measure(running), one.suffix);
        entry.rounds[round] = [...(entry.rounds[round] ?? []), figures];
      } catch (error) {
        failed.add(one);
        entry.errors.push(`${label}: ${AppError.from(error).message}`);
        progress(`${label} failed: ${AppError.from(error).message}`);
      }
    }
  }
  return [...measured].map(([name, { version, rounds: perRound, errors }]) => {
    const { figures, spread } = summarize(perRound.map((list) => Object.assign({}, ...list) as Figures));
    return { name, version, figures, spread, rounds, ...(errors.length === 0 ? {} : { errors }) };
  });
}
