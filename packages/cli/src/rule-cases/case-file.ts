/** What stands in a file of cases for rules. */
import {
  array,
  checkValue,
  durationMs,
  formatPath,
  formatValue,
  type Infer,
  object,
  oneOf,
  optional,
  parseYaml,
  type ResourceProblem,
  record,
  resourceError,
  type Schema,
  string,
} from "@myelin/config";

const text = (description: string) => string({ description, minLength: 1, maxLength: 256 });
const any = (description: string): Schema<unknown> => ({ description });
const at = durationMs({ description: "When, from the start of the case.", min: "0s", max: "366d" });

const step = object(
  {
    at,
    points: optional(
      record(any("A number, a text, true or false, a list of numbers; null: measured, and not known."), {
        description: "Samples of one message, by point.",
        maxProperties: 256,
        keyPattern: "^[A-Za-z_][A-Za-z0-9_]*$",
      }),
    ),
    event: optional(
      object(
        { topic: text("Topic of the message."), payload: optional(any("What its JSON holds.")) },
        { description: "A message that is no reading." },
      ),
    ),
    presence: optional(oneOf(["online", "offline"], { description: "The device comes or goes." })),
    shadow: optional(
      object(
        {
          name: string({ description: "Name of the shadow.", default: "", maxLength: 64 }),
          state: any("Its `desired`, `reported` and `delta`."),
        },
        { description: "The shadow has changed." },
      ),
    ),
    schedule: optional(oneOf(["due"], { description: "A point of time of the rule's schedule." })),
  },
  { description: "What happens; nothing but `at`: time goes on until then." },
);

const one = object({
  name: text("What the case shows."),
  rule: text("Name of the rule."),
  device: string({ description: "Id of the device.", default: "device", minLength: 1, maxLength: 256 }),
  profile: optional(text("Its profile; left out, the first one that the rule names.")),
  start: string({
    description: "Time at 0s, for rules that ask for the hour or the day.",
    default: "2026-01-05T12:00:00Z",
    pattern: "^\\d{4}-\\d\\d-\\d\\dT\\d\\d:\\d\\d:\\d\\dZ$",
    rule: "a time such as 2026-01-05T12:00:00Z",
  }),
  steps: array(step, { description: "In the order of time.", minItems: 1, maxItems: 10_000 }),
  expect: array(
    object({
      at,
      state: oneOf(["raised", "cleared", "fired"], {
        description: "`fired`: of a rule that fires each time, so that nothing ends.",
      }),
    }),
    { description: "All that the rule must tell, in this order; [] for nothing.", maxItems: 10_000 },
  ),
});

const schema = object({
  rules: array(text("A file or a folder, from where this file is."), {
    description: "Where the rules stand.",
    minItems: 1,
    maxItems: 100,
  }),
  cases: array(one, {
    description: "Each with a rule and a device that begin anew.",
    minItems: 1,
    maxItems: 1_000,
  }),
});

/** A file of cases, complete with defaults. */
export type CaseFile = Infer<typeof schema>;

/** One case of it. */
export type RuleCase = Infer<typeof one>;

/** @param source name of the file as it appears in problems. @throws AppError `config.invalid_resource` with all that is wrong */
export async function parseCases(content: string, source: string): Promise<CaseFile> {
  const { documents, errors } = await parseYaml(content);
  const [document] = documents;
  const ofText = (line: number, rule: string): ResourceProblem => ({
    source,
    line,
    path: "(file)",
    value: "this text",
    rule,
  });
  if (errors.length > 0) throw resourceError(errors.map((e) => ofText(e.line, `YAML: ${e.message}`)));
  if (document === undefined || documents.length > 1)
    throw resourceError([ofText(documents[1]?.line ?? 1, "one document with rules and cases")]);
  const { value, problems } = checkValue(schema, document.value);
  const all = [...problems];
  if (all.length === 0)
    for (const [i, { steps, start }] of value.cases.entries()) {
      if (Number.isNaN(Date.parse(start)))
        all.push({ path: ["cases", i, "start"], value: start, rule: "a time that there is" });
      for (const [k, { at: ms, points = {} }] of steps.entries()) {
        const path = ["cases", i, "steps", k];
        if (ms < (steps[k - 1]?.at ?? 0))
          all.push({ path: [...path, "at"], value: `${ms} ms`, rule: "not before the step in front" });
        for (const [point, held] of Object.entries(points))
          if (!isHeld(held))
            all.push({
              path: [...path, "points", point],
              value: held,
              rule: "something that a point may hold",
            });
      }
    }
  if (all.length === 0) return value;
  throw resourceError(
    all.map((p) => ({
      source,
      line: document.lineOf(p.path),
      path: formatPath(p.path),
      value: formatValue(p.value),
      rule: p.rule,
    })),
  );
}

function isHeld(value: unknown): boolean {
  if (Array.isArray(value)) return value.every(Number.isFinite);
  return value === null || ["boolean", "string"].includes(typeof value) || Number.isFinite(value);
}
