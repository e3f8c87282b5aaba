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
const base = (): Environment => {
  made ??= withMixedNumbers(new Environment({ limits: LIMITS }));
  return made;
};
// Made for the first expression: the language's functions take a megabyte, and most processes evaluate nothing.
let made: Environment | undefined;

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
  const { ast } = parsed(base(), text);
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

/** An expression that gives a value of any kind. */
export interface Expression {
  /** Fields that it names, from the variable on, as far as their names are written out: `a.b["c"]` is a, b, c. */
  readonly paths: readonly (readonly string[])[];
  /**
   * The value, as JSON has it. Every variable must be there.
   * @throws AppError `expression.failed`, also where a field is missing
   */
  evaluate(values: Readonly<Record<string, unknown>>): unknown;
}

/**
 * Compiles an expression over variables of any type.
 * @throws AppError `expression.invalid` as `compileCondition`
 */
export function compileExpression(text: string, variables: readonly string[]): Expression {
  const types = Object.fromEntries(variables.map((name) => [name, "dyn" as const]));
  const { evaluate } = checked(text, types);
  const paths: string[][] = [];
  const known = new Set(variables);
  const collect = (node: ASTNode): void => {
    const path = pathOf(node);
    if (path !== undefined && known.has(path[0] as string)) paths.push(path);
    else down(node, collect);
  };
  collect(evaluate.ast);
  return { paths, evaluate: (values) => plain(evaluated(text, evaluate, values)) };
}

function pathOf(node: ASTNode): string[] | undefined {
  if (node.op === "id") return [node.args];
  if (node.op !== "." && node.op !== "[]") return undefined;
  const [of, field] = node.args;
  const name = typeof field === "string" ? field : field.op === "value" ? field.args : undefined;
  if (typeof name !== "string") return undefined;
  const before = pathOf(of);
  return before === undefined ? undefined : [...before, name];
}

/** Whole numbers of the language are of another type than those of JSON. */
function plain(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(plain);
  if (value instanceof Map) return plain(Object.fromEntries(value));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, plain(inner)]));
}

/**
 * Compiles a condition over these variables.
 * @throws AppError `expression.invalid` for text that is no expression, an unknown variable, a wrong type, or one that could run away
 */
export function compileCondition(text: string, variables: Readonly<Record<string, VariableType>>): Condition {
  const { evaluate, type } = checked(text, variables);
  if (type !== "bool" && type !== "dyn") throw invalid(text, `its type is ${type}, not bool`);
  const inputs = new Set<string>();
  walk(evaluate.ast, (node) => {
    if (node.op === "id" && Object.hasOwn(variables, node.args)) inputs.add(node.args);
  });
  return {
    inputs,
    holds(values) {
      const result = evaluated(text, evaluate, values);
      if (typeof result === "boolean") return result;
      throw new AppError("expression.failed", `the expression ${text} is neither true nor false`);
    },
  };
}

type Evaluate = ReturnType<Environment["parse"]>;

function checked(
  text: string,
  variables: Readonly<Record<string, VariableType>>,
): { evaluate: Evaluate; type: string } {
  let environment = base().clone();
  for (const [name, type] of Object.entries(variables))
    environment = environment.registerVariable(name, type);
  const evaluate = parsed(environment, text);
  const { valid, type, error } = evaluate.check();
  if (!valid) throw invalid(text, error);
  let macros = 0;
  walk(evaluate.ast, (node) => {
    const called = node.op === "rcall" || node.op === "call" ? node.args[0] : undefined;
    // Its patterns may take longer than the age of the device.
    if (called === "matches") throw invalid(text, "matches is not offered");
    if (called !== undefined && MACROS.has(called)) macros += 1;
  });
  if (macros > MAX_MACROS) throw invalid(text, `more than ${MAX_MACROS} walks through lists`);
  return { evaluate, type: String(type) };
}

function evaluated(text: string, evaluate: Evaluate, values: Readonly<Record<string, unknown>>): unknown {
  try {
    return evaluate(values);
  } catch (cause) {
    throw new AppError("expression.failed", `the expression ${text} cannot be evaluated`, { cause });
  }
}

function parsed(environment: Environment, text: string): Evaluate {
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
  down(node, (inner) => walk(inner, visit));
}

function down(node: ASTNode, visit: (node: ASTNode) => void): void {
  const into = (value: unknown): void => {
    if (Array.isArray(value)) for (const inner of value) into(inner);
    else if (typeof value === "object" && value !== null && "op" in value) visit(value as ASTNode);
  };
  into(node.args);
}
