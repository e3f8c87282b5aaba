/** Gives back what only the start of a process needed. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

/** V8's own. */
const DEFAULT_OLD_AGE = 6;

/** Node's `gc`, as far as it is used here; `last-resort` also shrinks what V8 keeps for the next allocations. */
type Collect = (options: { type: "major"; execution: "sync"; flavor: "last-resort" }) => void;

/**
 * Collects the garbage of the start, bytecode of functions that ran only then too, and shrinks V8's spaces to what is used:
 * some 11 MB of a service, once, for about 80 ms. Under load the spaces grow again as they need, and a function that is called
 * again is compiled again. To be called when a process has become ready.
 */
export function releaseStartMemory(): void {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as Collect;
  setFlagsFromString("--no-expose-gc");
  // Each collection makes bytecode older by one, and a function that runs makes its own young again.
  setFlagsFromString("--bytecode-old-age=1");
  for (let i = 0; i < 2; i++) collect({ type: "major", execution: "sync", flavor: "last-resort" });
  setFlagsFromString(`--bytecode-old-age=${DEFAULT_OLD_AGE}`);
}
