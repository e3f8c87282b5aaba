/** Expressions of profiles in CEL, the Common Expression Language. The only file that knows the library. */
import { type ASTNode, Environment } from "@marcbachmann/cel-js";
import { AppError } from "@myelin/kernel";

/** Types of variables; numbers of any kind are doubles. What is `dyn` is known only when it is evaluated. */
export type VariableType = "double" | "bool" | "string" | "dyn";

/** Values of variables, by name. */
export type Variables = Readonly<Record<string, number | boolean | string | readonly number[]>>;

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

/** With whole numbers as people write them: `t * 2 > 5`. All are doubles, since the language knows no others for us. */
const BASE = withMixedNumbers(new Environment({ limits: LIMITS }));

function withMixedNumbers(environment: Environment): Environment {
  const operators: Readonly<Record<string, (a: number | bigint, b: number | bigint) => number>> = {
    "+": (a, b) => Number(a) + Number(b),
    "-": (a, b) => Number(a) - Number(b),
    "*": (a, b) => Number(a) * Number(b),
    "/": (a, b) => Number(a) / Number(b),
  };
  let all = environment;
  for (const [sign, apply] of Object.entries(operators))
    all = all.registerOperator(`double ${sign} int`, apply).registerOperator(`int ${sign} double`, apply);
  return all;
}

/**
 * The variables that an expression names, whatever their types.
 * @throws AppError `expression.invalid` for text that is no expression
 */
export function variablesOf(text: string): ReadonlySet<string> {
  const { ast } = parsed(BASE, text);
  const names = new Set<string>();
  const bound = new Set<string>();
  walk(ast, (node) => {
    if (node.op === "id") names.add(node.args);
    if (node.op !== "rcall" || !MACROS.has(node.args[0])) return;
    const [variable] = node.args[2];
    if (variable?.op === "id") bound.add(variable.args);
  });
  return new Set([...names].filter((name) => !bound.has(name)));
}

/**
 * Compiles a condition over these variables.
 * @throws AppError `expression.invalid` for text that is no expression, an unknown variable, a wrong type, or one that could run away
 */
export function compileCondition(text: string, variables: Readonly<Record<string, VariableType>>): Condition {
  let environment = BASE.clone();
  for (const [name, type] of Object.entries(variables))
    environment = environment.registerVariable(name, type);
  const evaluate = parsed(environment, text);
  const { valid, type, error } = evaluate.check();
  if (!valid) throw invalid(text, error);
  if (type !== "bool" && type !== "dyn") throw invalid(text, `its type is ${type}, not bool`);
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
      let result: unknown;
      try {
        result = evaluate(values);
      } catch (cause) {
        throw new AppError("expression.failed", `the expression ${text} cannot be evaluated`, { cause });
      }
      if (typeof result === "boolean") return result;
      throw new AppError("expression.failed", `the expression ${text} is neither true nor false`);
    },
  };
}

function parsed(environment: Environment, text: string): ReturnType<Environment["parse"]> {
  try {
    return environment.parse(text);
  } catch (cause) {
    throw invalid(text, cause);
  }
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
