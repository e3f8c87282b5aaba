/** Expressions of profiles in CEL, the Common Expression Language. The only file that knows the library. */
import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { AppError } from "@myelin/kernel";

/** Types of variables; numbers of any kind are doubles. */
export type VariableType = "double" | "bool" | "string";

/** Values of variables, by name. */
export type Variables = Readonly<Record<string, number | boolean | string>>;

/** A condition that was compiled and whose types were checked. */
export interface Condition {
  /** Variables that it names, whichever of them decide. */
  readonly inputs: ReadonlySet<string>;
  /**
   * Whether it is true; every variable in `inputs` must be there.
   * @throws AppError `expression.failed`
   */
  holds(values: Variables): boolean;
}

// What bounds the work of one evaluation: nodes, lists that are written out, and how often those may be walked through.
const LIMITS = { maxAstNodes: 256, maxDepth: 24, maxListElements: 64, maxMapEntries: 0, maxCallArguments: 8 };
const MAX_MACROS = 2;
const MACROS = new Set(["all", "exists", "exists_one", "map", "filter"]);

/**
 * Compiles a condition over these variables.
 * @throws AppError `expression.invalid` for text that is no expression, an unknown variable, a wrong type, or one that could run away
 */
export function compileCondition(text: string, variables: Readonly<Record<string, VariableType>>): Condition {
  let environment = new Environment({ limits: LIMITS });
  for (const [name, type] of Object.entries(variables))
    environment = environment.registerVariable(name, type);
  let evaluate: ReturnType<Environment["parse"]>;
  try {
    evaluate = environment.parse(text);
  } catch (cause) {
    throw invalid(text, cause);
  }
  const { valid, type, error } = evaluate.check();
  if (!valid) throw invalid(text, error);
  if (type !== "bool") throw invalid(text, `its type is ${type}, not bool`);
  const inputs = new Set<string>();
  let macros = 0;
  walk(evaluate.ast, (node) => {
    if (node.op === "id" && Object.hasOwn(variables, node.args)) inputs.add(node.args);
    const called = node.op === "rcall" || node.op === "call" ? node.args[0] : undefined;
    // Its patterns may take longer than the age of the device.
    if (called === "matches") throw invalid(text, "matches is not offered");
    if (called !== undefined && MACROS.has(called)) macros += 1;
  });
  if (macros > MAX_MACROS) throw invalid(text, `more than ${MAX_MACROS} walks through lists`);
  return {
    inputs,
    holds(values) {
      try {
        return (evaluate(values) as unknown) === true;
      } catch (cause) {
        throw new AppError("expression.failed", `the expression ${text} cannot be evaluated`, { cause });
      }
    },
  };
}

function invalid(text: string, why: unknown): AppError {
  // Its messages go on with a drawing of the place.
  const reason = why instanceof Error ? (why.message.split("\n")[0] ?? "") : String(why);
  return new AppError("expression.invalid", `the expression ${text}: ${reason}`, {
    cause: why instanceof Error ? why : undefined,
  });
}

function walk(node: ASTNode, visit: (node: ASTNode) => void): void {
  visit(node);
  const down = (value: unknown): void => {
    if (Array.isArray(value)) for (const inner of value) down(inner);
    else if (typeof value === "object" && value !== null && "op" in value) walk(value as ASTNode, visit);
  };
  down(node.args);
}
