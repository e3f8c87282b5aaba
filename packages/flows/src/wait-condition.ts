/** What must hold of what a flow waits for. */
import { type Condition, compileCondition, variablesOf } from "@myelin/profile";

/**
 * Over `topic` and `payload` of a message, or over the points that the expression names.
 * @throws AppError `expression.invalid`
 */
export function compileWaitCondition(when: string, of: "event" | "point"): Condition {
  if (of === "event") return compileCondition(when, { topic: "string", payload: "dyn" });
  return compileCondition(when, Object.fromEntries([...variablesOf(when)].map((name) => [name, "dyn"])));
}
