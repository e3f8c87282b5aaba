/** What happens by itself: when something holds for a device, actions follow. */
import {
  array,
  durationMs,
  exactlyOne,
  integer,
  number,
  object,
  oneOf,
  optional,
  record,
  string,
} from "../schema/builders.js";
import type { Infer, Schema } from "../schema/schema.js";
import { defineKind } from "./kind.js";
import { actions, SEVERITIES } from "./rule-actions.js";
import { checkRule } from "./rule-check.js";

const IDENTIFIER = "^[A-Za-z][A-Za-z0-9_]{0,63}$";

const pointName = (description: string) =>
  string({ description, pattern: IDENTIFIER, rule: "the name of a point", maxLength: 64 });

const names = (description: string, what: string) =>
  optional(
    array(string({ description: what, minLength: 1, maxLength: 1_024 }), {
      description,
      minItems: 1,
      maxItems: 256,
    }),
  );

const pointNames = (description: string) =>
  array(pointName("Name of a point."), { description, minItems: 1, maxItems: 64, uniqueItems: true });

const trigger = exactlyOne(
  {
    points: pointNames("Each sample of one of these points, as the profile of the device makes them."),
    event: object(
      {
        topics: array(string({ description: "Topic filter.", minLength: 1, maxLength: 1_024 }), {
          description: "MQTT topic filters over the path of the message.",
          minItems: 1,
          maxItems: 32,
        }),
      },
      { description: "Each message of the device on one of these topics." },
    ),
    presence: array(oneOf(["online", "offline"], { description: "What the device has become." }), {
      description: "The device comes or goes. The expression may name `online`.",
      minItems: 1,
      maxItems: 2,
      uniqueItems: true,
    }),
    schedule: object(
      {
        cron: string({
          description: "Times as cron writes them: minute, hour, day of the month, month, day of the week.",
          minLength: 9,
          maxLength: 128,
        }),
        timeZone: string({ description: "IANA name of the time zone.", default: "UTC", maxLength: 64 }),
      },
      { description: "Points of time, for each device that the rule is about and that has said something." },
    ),
    shadow: object(
      {
        name: string({ description: "Named shadow; empty: the unnamed one.", default: "", maxLength: 64 }),
      },
      { description: "Each change of the device's shadow. Values take fields of its document." },
    ),
    absence: object(
      {
        points: optional(
          pointNames("Points of which nothing comes; left out, any message of the device counts."),
        ),
        for: durationMs({
          description: "How long nothing must have come. It begins with what came last.",
          min: "100ms",
          max: "366d",
        }),
      },
      { description: "Nothing comes any more from a device that has said something before." },
    ),
  },
  { description: "What makes the rule look." },
);

const over = durationMs({
  description: "Length of the window; it moves on in steps of a thirty-second part of it.",
  min: "100ms",
  max: "31d",
});

const ofWindow = (description: string) => object({ point: pointName("Point."), over }, { description });

const ofArray = (description: string) =>
  object({ point: pointName("Point, or other value.") }, { description });

const value = exactlyOne(
  {
    point: pointName("The point itself, under another name."),
    field: string({
      description:
        "Field of the JSON payload of the message, event or shadow, with dots between levels; a number stands for a place in a list.",
      minLength: 1,
      maxLength: 256,
    }),
    average: ofWindow("Mean of the samples within the window."),
    min: ofWindow("Smallest sample within the window."),
    max: ofWindow("Largest sample within the window."),
    sum: ofWindow("Sum of the samples within the window."),
    count: ofWindow("Number of samples within the window."),
    deviation: ofWindow("Standard deviation of the samples within the window."),
    rate: ofWindow("Change per second, from the first sample within the window to the last one."),
    age: ofArray("Seconds since the last good sample."),
    rms: ofArray("Root mean square of a list of numbers."),
    peak: ofArray("Largest absolute value of a list of numbers."),
    crest: ofArray("Crest factor of a list of numbers: its peak as a multiple of its root mean square."),
    band: object(
      {
        point: pointName("Point, or other value."),
        sampleHz: number({ description: "Samples per second of the list.", minimum: 0.001, maximum: 1e9 }),
        fromHz: number({ description: "Lower end of the band.", minimum: 0, maximum: 1e9 }),
        toHz: number({ description: "Upper end of the band, included.", minimum: 0, maximum: 1e9 }),
      },
      {
        description:
          "Root mean square of the part of a list of numbers that lies in a band of frequencies, its mean left out.",
      },
    ),
    anomaly: object(
      {
        point: pointName("Point, or other value."),
        warmUp: integer({
          description: "Samples of the device before anything counts as odd; until then the score is 0.",
          default: 100,
          minimum: 16,
          maximum: 1_000_000,
        }),
        memory: integer({
          description: "Samples after which something new is usual: the baseline follows at this pace.",
          default: 1_000,
          minimum: 16,
          maximum: 1_000_000,
        }),
        season: oneOf(["none", "day", "week"], {
          description:
            "What is usual may differ by the hour (UTC) of the day or of the week; each hour then warms up for itself.",
          default: "none",
        }),
        sensitivity: number({
          description: "What the score is multiplied with: above 1 smaller deviations count.",
          default: 1,
          minimum: 0.01,
          maximum: 100,
        }),
        floor: number({
          description:
            "Least spread that is assumed, in the unit of the point, for points that hardly ever move.",
          default: 0,
          minimum: 0,
          maximum: 1e18,
        }),
      },
      {
        description:
          "How odd the sample is for this device: its distance from what is usual, as a multiple of the usual spread. What is odd hardly moves the baseline.",
      },
    ),
  },
  { description: "A value that expressions can name." },
);

const expression = (description: string) =>
  string({
    description: `${description} In CEL, over points and values by name, and device, topic, time (seconds since 1970), hour and weekday (UTC, 0 is Sunday).`,
    minLength: 1,
    maxLength: 2_048,
  });

const holds = (description: string) => durationMs({ description, default: "0s", min: "0s", max: "31d" });

const spec = object({
  description: optional(string({ description: "For people and models.", maxLength: 1_024 })),
  mode: oneOf(["act", "observe"], {
    description: "`observe` does everything but act: what it would have done is counted and told.",
    default: "act",
  }),
  devices: names(
    "Devices it is about, by id; * stands for any text and ? for one character. Left out, all.",
    "Device id or pattern.",
  ),
  profiles: names("Profiles of the devices it is about; left out, any.", "Name of a profile."),
  trigger,
  values: record(value, {
    description: "Values made of points, by the name that expressions give them.",
    default: {},
    maxProperties: 32,
    keyPattern: IDENTIFIER,
  }),
  when: optional(
    expression(
      "What must hold. It is asked once all that it names is known and good. Left out, the trigger alone is enough.",
    ),
  ),
  for: holds("How long it must hold without a break before the rule fires."),
  clear: optional(
    object(
      {
        when: optional(expression("What must hold for it to be over; left out, that `when` does not hold.")),
        for: holds("How long that must hold without a break."),
      },
      {
        description: "When it is over: a second threshold keeps what lies between from going back and forth.",
      },
    ),
  ),
  fires: optional(
    oneOf(["once", "always"], {
      description:
        "`once`: when it begins to hold, and again only after it was over. `always`: at each trigger for which it holds. Left out, once for points and absence, always for the rest.",
    }),
  ),
  maxAge: optional(
    durationMs({
      description: "A point whose last good sample is older than this is unknown; left out, any age will do.",
      min: "100ms",
      max: "366d",
    }),
  ),
  severity: oneOf(SEVERITIES, { description: "How urgent it is.", default: "warning" }),
  placement: oneOf(["hub", "edge"], {
    description: "Where it runs: in one place only.",
    default: "hub",
  }),
  actions: actions("What is done when it fires."),
  cleared: actions("What is done when it is over. Alarms that the rule has raised end by themselves."),
  limits: object(
    {
      cooldown: durationMs({
        description:
          "Least time between two times that the rule fires for the same device; what comes between is counted.",
        default: "0s",
        min: "0s",
        max: "31d",
      }),
      actions: integer({
        description:
          "Most times that each action is done within `per`, over all devices of a partition; what is beyond is counted.",
        default: 600,
        minimum: 1,
        maximum: 1_000_000,
      }),
      per: durationMs({
        description: "Length of the sliding window of `actions`.",
        default: "1m",
        min: "1s",
        max: "24h",
      }),
    },
    { description: "What bounds the harm of a rule that fires more often than was thought of." },
  ),
});

/** The spec of a `Rule`, checked and complete. */
export type RuleSpec = Infer<typeof spec>;

/** One value that its expressions can name. */
export type RuleValueSpec = RuleSpec["values"][string];

/** How urgent it is. */
export type Severity = RuleSpec["severity"];

/** `Rule`: whether its expressions hold is judged where they are compiled. */
export const ruleKind = defineKind<RuleSpec>({
  kind: "Rule",
  spec: spec as Schema<RuleSpec>,
  check: checkRule,
});
