/** A flow whose expressions were compiled, and whose names were looked up. */
import type { FlowActionSpec, FlowSpec, FlowStepSpec } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { type Condition, compileCondition, compileExpression, type Expression } from "@myelin/profile";
import { planOf, type RunPlan } from "./plan.js";
import { compileTemplate, type Template, type Values } from "./template.js";
import { compileWaitCondition } from "./wait-condition.js";

/** What cannot be compiled, by its path below the spec. */
export interface FlowProblem {
  readonly path: readonly (string | number)[];
  readonly value: unknown;
  readonly rule: string;
}

/** What a step does, with its texts as templates: the shape of the spec, texts rendered by `render`. */
export interface CompiledAction {
  /** Which kind of step: the key of the spec. */
  readonly kind: string;
  readonly spec: Readonly<Record<string, unknown>>;
  /** The spec with every text replaced by what its expressions give. @throws AppError `expression.failed` */
  render(values: Values): Readonly<Record<string, unknown>>;
}

/** Which devices a step is done for. */
export interface CompiledEach {
  readonly by: "group" | "profile" | "list";
  readonly of: Template;
}

/** One step. */
export interface CompiledStep {
  readonly when: Condition | undefined;
  readonly each: CompiledEach | undefined;
  readonly action: CompiledAction;
  readonly undo: CompiledAction | undefined;
  readonly outputs: readonly (readonly [name: string, expression: Expression])[];
}

/** A flow that can be run. */
export interface CompiledFlow {
  readonly name: string;
  readonly spec: FlowSpec;
  readonly plan: RunPlan;
  readonly steps: ReadonlyMap<string, CompiledStep>;
  readonly outputs: readonly (readonly [name: string, expression: Expression])[];
}

const VARIABLES = ["input", "steps", "run"];
const RUN_FIELDS = ["id", "flow"];

/**
 * Compiles a flow that was checked against its schema.
 * @returns what is wrong, where anything is
 */
export function compileFlow(
  name: string,
  spec: FlowSpec,
): { readonly flow: CompiledFlow; readonly problems: readonly FlowProblem[] } {
  const compiler = new Compiler(spec);
  const steps = new Map(
    Object.entries(spec.steps).map(([step, one]) => [step, compiler.step(step, one)] as const),
  );
  const outputs = compiler.outputs(spec.outputs, ["outputs"], VARIABLES, undefined);
  return { flow: { name, spec, plan: planOf(spec), steps, outputs }, problems: compiler.problems };
}

type Path = readonly (string | number)[];

class Compiler {
  readonly problems: FlowProblem[] = [];

  constructor(private readonly spec: FlowSpec) {}

  step(name: string, step: FlowStepSpec): CompiledStep {
    const at: Path = ["steps", name];
    const before = this.#before(name);
    const { each } = step.do;
    const own = each === undefined ? VARIABLES : [...VARIABLES, "device"];
    const action = each === undefined ? step.do : each.do;
    const where: Path = each === undefined ? [...at, "do"] : [...at, "do", "each", "do"];
    return {
      when: this.#condition(step.when, [...at, "when"], before),
      each:
        each === undefined ? undefined : this.#each(each.devices, [...at, "do", "each", "devices"], before),
      action: this.#action(action, where, own, before),
      undo:
        step.undo === undefined
          ? undefined
          : this.#action(step.undo.do, [...at, "undo", "do"], own, new Set([...before, name])),
      outputs: this.outputs(step.outputs, [...at, "outputs"], [...VARIABLES, "result"], before),
    };
  }

  /** `before`: steps that can be named; undefined: all. */
  outputs(
    outputs: FlowSpec["outputs"],
    at: Path,
    variables: readonly string[],
    before: ReadonlySet<string> | undefined,
  ): CompiledFlow["outputs"] {
    return Object.entries(outputs).flatMap(([name, text]) => {
      const expression = this.#try([...at, name], text, () => compileExpression(text, variables));
      if (expression === undefined) return [];
      this.#checkNames(expression.paths, [...at, name], text, before);
      return [[name, expression] as const];
    });
  }

  #each(
    devices: Readonly<Record<string, string | undefined>>,
    at: Path,
    before: ReadonlySet<string>,
  ): CompiledEach {
    const [by, text] = Object.entries(devices).find(([, value]) => value !== undefined) as [string, string];
    return { by: by as CompiledEach["by"], of: this.#template(text, [...at, by], VARIABLES, before) };
  }

  #action(
    action: FlowActionSpec | NonNullable<FlowStepSpec["undo"]>["do"],
    at: Path,
    variables: readonly string[],
    before: ReadonlySet<string>,
  ): CompiledAction {
    const [kind, spec] = Object.entries(action).find(([, value]) => value !== undefined) as [string, Values];
    const render = this.#value(spec, [...at, kind], variables, before);
    return { kind, spec, render: render as CompiledAction["render"] };
  }

  /** Conditions of waits speak of what is waited for: they are evaluated where that comes. */
  #value(
    value: unknown,
    at: Path,
    variables: readonly string[],
    before: ReadonlySet<string>,
  ): (values: Values) => unknown {
    const of = at.at(-2);
    if (typeof value === "string" && at.at(-1) === "when" && (of === "event" || of === "point"))
      this.#try(at, value, () => compileWaitCondition(value, of));
    const isLeft = at.at(-1) === "when" || at.at(-2) === "topics" || at.at(-2) === "bearer";
    if (typeof value === "string" && !isLeft) {
      const template = this.#template(value, at, variables, before);
      return (values) => template.render(values);
    }
    if (typeof value !== "object" || value === null || Array.isArray(value)) return () => value;
    const fields = Object.entries(value).map(
      ([key, inner]) => [key, this.#value(inner, [...at, key], variables, before)] as const,
    );
    return (values) => Object.fromEntries(fields.map(([key, render]) => [key, render(values)]));
  }

  #template(text: string, at: Path, variables: readonly string[], before: ReadonlySet<string>): Template {
    const template = this.#try(at, text, () => compileTemplate(text, variables));
    if (template === undefined) return { paths: [], render: () => text };
    this.#checkNames(template.paths, at, text, before);
    return template;
  }

  #condition(text: string | undefined, at: Path, before: ReadonlySet<string>): Condition | undefined {
    if (text === undefined) return undefined;
    const paths = this.#try(at, text, () => compileExpression(text, VARIABLES))?.paths;
    if (paths === undefined) return undefined;
    this.#checkNames(paths, at, text, before);
    return this.#try(at, text, () => compileCondition(text, { input: "dyn", steps: "dyn", run: "dyn" }));
  }

  #checkNames(
    paths: Expression["paths"],
    path: Path,
    value: string,
    before: ReadonlySet<string> | undefined,
  ): void {
    for (const [variable, name, field] of paths) {
      if (name === undefined) continue;
      const rule =
        variable === "input"
          ? this.#inputRule(name)
          : variable === "steps"
            ? this.#stepRule(name, field, before)
            : variable === "run" && !RUN_FIELDS.includes(name)
              ? `without run.${name}: a run has ${RUN_FIELDS.join(", ")}`
              : undefined;
      if (rule !== undefined) this.problems.push({ path, value, rule });
    }
  }

  #inputRule(name: string): string | undefined {
    return Object.hasOwn(this.spec.input, name)
      ? undefined
      : `without input.${name}, which the flow does not have`;
  }

  #stepRule(
    name: string,
    field: string | undefined,
    before: ReadonlySet<string> | undefined,
  ): string | undefined {
    if (!Object.hasOwn(this.spec.steps, name)) return `without steps.${name}: there is no such step`;
    if (before?.has(name) === false) return `without steps.${name}, which need not be over: see dependsOn`;
    const has =
      field === undefined || field === "state" || Object.hasOwn(this.spec.steps[name]?.outputs ?? {}, field);
    return has ? undefined : `without steps.${name}.${field}: the step has no such output`;
  }

  /** Steps that are over when this one begins. */
  #before(name: string): ReadonlySet<string> {
    const found = new Set<string>();
    const visit = (at: string): void => {
      for (const other of this.spec.steps[at]?.dependsOn ?? []) {
        if (found.has(other)) continue;
        found.add(other);
        visit(other);
      }
    };
    visit(name);
    return found;
  }

  #try<T>(path: Path, value: unknown, compile: () => T): T | undefined {
    try {
      return compile();
    } catch (thrown) {
      if (!AppError.is(thrown) || thrown.code !== "expression.invalid") throw thrown;
      this.problems.push({ path, value, rule: thrown.message });
      return undefined;
    }
  }
}
