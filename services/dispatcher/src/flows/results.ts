/** What a step has given, and what expressions may name. */
import { evaluateOutputs, type Failure, type RunEvent, valuesOf } from "@myelin/flows";
import { AppError } from "@myelin/kernel";
import type { RunEntry } from "./book.js";

/** What expressions of a run are evaluated over, as it stands. */
export function runValues({ header: { id, flow }, input, state }: RunEntry): ReturnType<typeof valuesOf> {
  return valuesOf({ id, flow, input }, state);
}

/** How a step is over: with its outputs, unless they cannot be made. */
export function closingOf(
  entry: RunEntry,
  { step, failure }: { readonly step: string; readonly failure: Failure | undefined },
): Pick<RunEvent & { kind: "closed" }, "outputs" | "failure"> {
  if (failure !== undefined) return { outputs: {}, failure };
  const outputs = entry.flow.steps.get(step)?.outputs ?? [];
  try {
    return { outputs: evaluateOutputs(outputs, { ...runValues(entry), result: resultOf(entry, step) }) };
  } catch (thrown) {
    const { code, message } = AppError.from(thrown);
    return { outputs: {}, failure: { code, message } };
  }
}

function resultOf({ flow, state }: RunEntry, step: string): unknown {
  const { items, tasks } = state.steps.get(step) ?? { items: [], tasks: [] };
  if (flow.steps.get(step)?.each === undefined) return tasks[0]?.result ?? null;
  const done = new Set(tasks.flatMap(({ status }, i) => (status === "succeeded" ? [items[i]] : [])));
  return {
    devices: items,
    succeeded: done.size,
    failed: items.filter((item) => !done.has(item)),
    results: Object.fromEntries(tasks.map(({ result }, i) => [items[i], result ?? null])),
  };
}
