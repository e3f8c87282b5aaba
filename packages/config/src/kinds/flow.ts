/** What is done one after the other or at the same time, each once: a graph of steps. */
import {
  array,
  boolean,
  durationMs,
  integer,
  number,
  object,
  oneOf,
  optional,
  record,
  string,
} from "../schema/builders.js";
import type { Infer, Schema } from "../schema/schema.js";
import { checkFlow } from "./flow-check.js";
import { condition, stepAction, undoAction } from "./flow-steps.js";
import { defineKind } from "./kind.js";

const IDENTIFIER = "^[A-Za-z][A-Za-z0-9_]{0,63}$";

const expressions = (description: string) =>
  record(string({ description: "Expression in CEL.", minLength: 1, maxLength: 2_048 }), {
    description,
    default: {},
    maxProperties: 32,
    keyPattern: IDENTIFIER,
  });

const retry = (attempts: number) =>
  object(
    {
      attempts: integer({
        description: "How often it is tried in all.",
        default: attempts,
        minimum: 1,
        maximum: 100,
      }),
      wait: durationMs({
        description: "Time between the first failure and the second attempt.",
        default: "1s",
        min: "1ms",
        max: "24h",
      }),
      factor: number({
        description: "What the time grows by with each attempt.",
        default: 2,
        minimum: 1,
        maximum: 10,
      }),
      maxWait: durationMs({
        description: "Largest time between two attempts.",
        default: "5m",
        min: "1ms",
        max: "24h",
      }),
    },
    {
      description:
        "What happens when it fails. What may have been done although nobody knows is tried again only where it cannot be done twice.",
    },
  );

const timeout = (description: string) => durationMs({ description, default: "1m", min: "10ms", max: "31d" });

const step = object({
  description: optional(string({ description: "For people.", maxLength: 1_024 })),
  dependsOn: array(string({ description: "Name of a step.", pattern: IDENTIFIER, maxLength: 64 }), {
    description:
      "Steps that must be over before this one begins; steps without a path between them run at the same time.",
    default: [],
    maxItems: 100,
    uniqueItems: true,
  }),
  when: optional(
    condition(
      "Whether it is done at all: CEL over input, run and steps, by which the steps before it are known: `steps.<name>.state` (succeeded, failed, skipped) and their outputs. Left out, yes.",
    ),
  ),
  do: stepAction,
  timeout: timeout("How long one attempt may take, for each device where there are several."),
  retry: retry(1),
  outputs: expressions(
    "What later steps can name as `steps.<step>.<output>`: CEL over `result`, which is what the step gave, and all that the step itself could name.",
  ),
  onFailure: oneOf(["fail", "continue"], {
    description:
      "`fail`: no further step is begun, and what was done is undone. `continue`: later steps see that it failed, by its state.",
    default: "fail",
  }),
  undo: optional(
    object(
      { do: undoAction, timeout: timeout("How long one attempt may take."), retry: retry(3) },
      {
        description:
          "What undoes the step when the run fails or is cancelled, if the step was done or may have been. The last step is undone first.",
      },
    ),
  ),
});

const spec = object({
  description: optional(string({ description: "For people and models.", maxLength: 1_024 })),
  input: record(
    object({
      description: optional(string({ description: "For people and models.", maxLength: 1_024 })),
      type: oneOf(["string", "number", "integer", "boolean", "list", "object"], {
        description: "Type of the value.",
        default: "string",
      }),
      required: boolean({ description: "Whether it must be given.", default: true }),
    }),
    {
      description: "What a run is given, by name; `input.<name>` in expressions. Anything else is refused.",
      default: {},
      maxProperties: 64,
      keyPattern: IDENTIFIER,
    },
  ),
  steps: record(step, {
    description: "The steps, by name.",
    maxProperties: 100,
    keyPattern: IDENTIFIER,
  }),
  outputs: expressions("What the run gives in the end: CEL over input, run and steps."),
  timeout: durationMs({
    description:
      "How long a run may take from its first step on; then it fails, and what was done is undone.",
    default: "1h",
    min: "100ms",
    max: "31d",
  }),
  priority: integer({
    description: "Waiting runs of larger priority go first; a start may say another.",
    default: 0,
    minimum: -100,
    maximum: 100,
  }),
  limits: object(
    {
      runs: integer({
        description: "Runs of this flow at the same time; others wait.",
        default: 10,
        minimum: 1,
        maximum: 1_000,
      }),
      waiting: integer({
        description: "Runs that may wait; more are refused.",
        default: 1_000,
        minimum: 0,
        maximum: 10_000,
      }),
      steps: integer({
        description: "Steps of one run at the same time; of a step over devices each device counts.",
        default: 16,
        minimum: 1,
        maximum: 256,
      }),
    },
    { description: "What is done at once." },
  ),
  keep: durationMs({
    description:
      "How long a run that has ended can be looked at. A start with its idempotency key is known again as long.",
    default: "7d",
    min: "1m",
    max: "366d",
  }),
});

/** The spec of a `Flow`, checked and complete. */
export type FlowSpec = Infer<typeof spec>;

/** One step of a flow. */
export type FlowStepSpec = FlowSpec["steps"][string];

/** `Flow`: whether its expressions hold is judged where they are compiled. */
export const flowKind = defineKind<FlowSpec>({
  kind: "Flow",
  spec: spec as Schema<FlowSpec>,
  check: checkFlow,
});
