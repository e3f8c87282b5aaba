/** What devices of one make have in common: what they measure, what they can be told, and what they must never be told. */
import {
  array,
  boolean,
  bytes,
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
import { checkDeviceProfile } from "./device-profile-check.js";
import { provisioning } from "./device-provisioning.js";
import { defineKind } from "./kind.js";

/** Names of points and parameters are identifiers of the expression language as well. */
const IDENTIFIER = "^[A-Za-z][A-Za-z0-9_]{0,63}$";
const LARGEST = 1e18;
const any = (description: string) => number({ description, minimum: -LARGEST, maximum: LARGEST });
const atLeastZero = (description: string) => number({ description, minimum: 0, maximum: LARGEST });

const range = (description: string) =>
  object(
    {
      min: optional(any("Smallest value that is inside; left out, there is no lower end.")),
      max: optional(any("Largest value that is inside; left out, there is no upper end.")),
    },
    { description },
  );

const unit = optional(
  string({
    description: "Unit as UCUM writes it, such as Cel, kPa or m/s; told with each sample, never converted.",
    minLength: 1,
    maxLength: 32,
  }),
);

const words = (description: string) =>
  optional(
    array(string({ description: "Word.", minLength: 1, maxLength: 256 }), {
      description,
      minItems: 1,
      maxItems: 256,
      uniqueItems: true,
    }),
  );

const byteOrder = oneOf(["big", "little"], {
  description: "Which byte of a number comes first.",
  default: "big",
});

const from = exactlyOne(
  {
    field: string({
      description:
        "Field of a JSON or MessagePack payload, with dots between levels; a number stands for a place in a list.",
      minLength: 1,
      maxLength: 256,
    }),
    bytes: object({
      offset: integer({ description: "Place of the first byte, from 0.", minimum: 0, maximum: 1_048_575 }),
      as: oneOf(
        ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float32", "float64"],
        { description: "How the bytes are written." },
      ),
      byteOrder,
      bit: optional(
        integer({
          description:
            "For points of type boolean: the bit that counts, 0 being the lowest; left out, all of them.",
          minimum: 0,
          maximum: 63,
        }),
      ),
    }),
  },
  {
    description:
      "Where the point is in a payload; left out, only agents of hardware measure it, at the address that the Device gives.",
  },
);

const point = object({
  description: optional(string({ description: "For people.", maxLength: 1024 })),
  type: oneOf(["number", "integer", "boolean", "string", "waveform"], {
    description:
      "Type of its values; what is of another one becomes a bad sample, nothing is converted. A `waveform` is a list of equally spaced numbers, such as a vibration.",
    default: "number",
  }),
  waveform: optional(
    object(
      {
        elements: oneOf(["number", "integer"], { description: "Type of its elements.", default: "number" }),
        sampleHz: number({ description: "Elements per second.", minimum: 0.001, maximum: 1e9 }),
        length: integer({
          description: "How many elements it has; a list of another length is bad.",
          minimum: 2,
          maximum: 65_536,
        }),
      },
      {
        description:
          "For type waveform. In bytes its elements stand one behind the other; scale, add, range, expected and faults are those of each element.",
      },
    ),
  ),
  unit,
  from: optional(from),
  scale: optional(any("What the raw number is multiplied with; left out, 1.")),
  add: optional(any("What is added to it afterwards; left out, 0.")),
  range: optional(range("A value outside of it is bad: the device cannot measure such a thing.")),
  expected: optional(range("A value outside of it is uncertain: possible, but seldom right.")),
  faults: optional(
    array(any("Raw number."), {
      description: "Raw numbers by which the device says that it has no value; they become bad samples.",
      minItems: 1,
      maxItems: 64,
      uniqueItems: true,
    }),
  ),
  words: words("For type string: the only values there are; others are bad."),
  whenMissing: oneOf(["ignore", "bad"], {
    description: "What a payload without the point says: nothing about it, or that it has failed.",
    default: "ignore",
  }),
  deadband: optional(
    exactlyOne(
      {
        absolute: atLeastZero("Smallest difference that counts, in the point's unit."),
        percent: number({
          description: "Smallest difference that counts, in percent of the last value that counted.",
          minimum: 0,
          maximum: 100,
        }),
      },
      { description: "How much a value must differ from the last one that counted to be a change." },
    ),
  ),
});

const payload = object({
  topics: optional(
    array(string({ description: "Topic filter.", minLength: 1, maxLength: 1024 }), {
      description:
        "MQTT topic filters over the path of the message; left out, any. The first payload that fits counts.",
      minItems: 1,
      maxItems: 32,
    }),
  ),
  format: oneOf(["json", "msgpack", "binary"], { description: "How such payloads are read." }),
  size: optional(
    object(
      {
        min: optional(bytes({ description: "Shortest payload.", min: "0B", max: "1MiB" })),
        max: optional(bytes({ description: "Longest payload.", min: "1B", max: "1MiB" })),
      },
      { description: "Payloads of another length are not read: every point in them is bad." },
    ),
  ),
  points: optional(
    array(string({ description: "Name of a point.", minLength: 1, maxLength: 64 }), {
      description: "Points that are in it; left out, all whose place suits the format.",
      minItems: 1,
      maxItems: 1024,
      uniqueItems: true,
    }),
  ),
  time: optional(
    object(
      {
        field: string({ description: "Field, with dots between levels.", minLength: 1, maxLength: 256 }),
        unit: oneOf(["s", "ms", "us"], { description: "What it counts since 1970.", default: "ms" }),
      },
      {
        description:
          "Where the payload says when it was measured; left out, the time that the message carries counts.",
      },
    ),
  ),
});

const parameter = object({
  description: optional(string({ description: "For people.", maxLength: 1024 })),
  type: oneOf(["number", "integer", "boolean", "string"], { description: "Type of its value." }),
  unit,
  required: boolean({ description: "Whether it must be given.", default: true }),
  min: optional(any("Smallest value that is taken.")),
  max: optional(any("Largest value that is taken.")),
  words: words("For type string: the only values there are."),
  maxLength: integer({
    description: "For type string: most characters.",
    minimum: 0,
    maximum: 65_536,
    default: 256,
  }),
});

const hours = object({
  days: optional(
    array(oneOf(["mon", "tue", "wed", "thu", "fri", "sat", "sun"], { description: "Day." }), {
      description: "Days on which it begins; left out, every day.",
      minItems: 1,
      maxItems: 7,
      uniqueItems: true,
    }),
  ),
  from: string({
    description: "Begin, such as 06:00.",
    pattern: "^([01]\\d|2[0-3]):[0-5]\\d$",
    rule: "a time of day such as 06:00",
  }),
  to: string({
    description: "End, such as 22:00, not included; one before the begin is on the next day.",
    pattern: "^(([01]\\d|2[0-3]):[0-5]\\d|24:00)$",
    rule: "a time of day such as 22:00, or 24:00",
  }),
  timeZone: string({ description: "IANA name of the time zone.", default: "UTC", maxLength: 64 }),
});

const safety = object(
  {
    parameter: optional(
      string({
        description: "Parameter that range and slew are about: one of type number or integer.",
        minLength: 1,
        maxLength: 64,
      }),
    ),
    range: optional(range("What the parameter must be inside of.")),
    slewPerSecond: optional(
      atLeastZero("How far the parameter may move away from the last value that was allowed, per second."),
    ),
    minInterval: optional(
      durationMs({
        description: "Shortest time between two commands that are allowed.",
        min: "1ms",
        max: "720h",
      }),
    ),
    measuredBy: optional(
      string({
        description:
          "Point that measures the parameter: where slew begins, and what `previous` is, as long as no command was allowed.",
        minLength: 1,
        maxLength: 64,
      }),
    ),
    interlock: optional(
      string({
        description:
          "What must hold, in CEL. Points are variables by their names, `value` is the parameter and `previous` the last value that was allowed; all numbers are doubles, so write 3.0.",
        minLength: 1,
        maxLength: 2048,
      }),
    ),
    maxAge: durationMs({
      description:
        "How old the samples may be that are looked at; an older, bad, uncertain or missing one denies.",
      default: "10s",
      min: "10ms",
      max: "24h",
    }),
    roles: optional(
      array(string({ description: "Role.", minLength: 1, maxLength: 256 }), {
        description: "Who may: whoever has one of these roles; left out, anybody who may command the device.",
        minItems: 1,
        maxItems: 64,
        uniqueItems: true,
      }),
    ),
    hours: optional(
      array(hours, {
        description: "When: within one of these hours; left out, always.",
        minItems: 1,
        maxItems: 32,
      }),
    ),
  },
  { description: "What the command must never do, whoever sends it." },
);

const verify = object(
  {
    point: string({
      description: "Point whose report shows that the command was executed.",
      minLength: 1,
      maxLength: 64,
    }),
    equals: exactlyOne(
      {
        parameter: string({ description: "What this parameter was.", minLength: 1, maxLength: 64 }),
        number: any("This number."),
        boolean: boolean({ description: "True or false." }),
        text: string({ description: "This text.", maxLength: 256 }),
      },
      { description: "What it must report." },
    ),
    tolerance: optional(atLeastZero("How far a number may be off; left out, not at all.")),
    settle: optional(
      durationMs({
        description: "Reports that were measured sooner than this after the execution do not count.",
        max: "1h",
      }),
    ),
    within: durationMs({
      description: "How long after the execution the first good report counts.",
      default: "10s",
      min: "10ms",
      max: "1h",
    }),
  },
  {
    description:
      "How it is seen that the command was executed; left out, the word of the device is all there is.",
  },
);

const setTo = (description: string) =>
  exactlyOne(
    {
      parameter: string({ description: "What this parameter is.", minLength: 1, maxLength: 64 }),
      number: any("This number, in the point's unit."),
      boolean: boolean({ description: "True or false." }),
      text: string({ description: "This text.", maxLength: 256 }),
    },
    { description },
  );

const writes = (description: string) =>
  array(
    object({
      point: string({ description: "Point that is written.", minLength: 1, maxLength: 64 }),
      set: setTo("What it is set to."),
      wait: durationMs({
        description: "How long the device is left alone afterwards.",
        default: "0s",
        max: "10s",
      }),
    }),
    { description, minItems: 1, maxItems: 16 },
  );

const failSafe = object(
  {
    after: durationMs({
      description: "So long after the last execution nobody has sent the command again.",
      min: "100ms",
      max: "24h",
    }),
    writes: writes("What is written then, in this order; without parameters."),
  },
  {
    description:
      "What an agent of hardware writes when whoever commands has gone silent, and when the agent stops; left out, nothing. The one who commands repeats the command to keep it alive.",
  },
);

const command = object({
  description: optional(string({ description: "For people and models.", maxLength: 1024 })),
  risk: oneOf(["read", "low", "high", "stop"], {
    description:
      "What can happen: nothing, little, damage. `stop` brings the device to a safe state, so nothing may hold it up.",
  }),
  parameters: record(parameter, {
    description: "What it is given, by name.",
    default: {},
    maxProperties: 64,
    keyPattern: IDENTIFIER,
  }),
  safety: optional(safety),
  verify: optional(verify),
  writes: optional(
    writes(
      "What an agent of hardware writes, in this order, such as unlock, set and confirm; left out, what `verify` expects into the point it reads.",
    ),
  ),
  failSafe: optional(failSafe),
  redelivery: oneOf(["never", "untilAnswered"], {
    description:
      "What happens to a command that may have reached the device when its connection broke. `untilAnswered`: it is given to the device again under the same id, which the device must know again; `never`: it is not, and ends as `outcome_unknown` where nothing can be read back.",
    default: "untilAnswered",
  }),
});

const spec = object({
  description: optional(string({ description: "For people and models.", maxLength: 1024 })),
  payloads: array(payload, {
    description:
      "How payloads of such devices are read. A message that fits none of them has no samples. What agents of hardware have measured needs none.",
    default: [],
    maxItems: 32,
  }),
  points: record(point, {
    description: "What such devices measure, by name.",
    maxProperties: 1024,
    keyPattern: IDENTIFIER,
  }),
  commands: record(command, {
    description: "What such devices can be told, by name.",
    default: {},
    maxProperties: 256,
    keyPattern: "^[A-Za-z][A-Za-z0-9_-]{0,63}$",
  }),
  provisioning,
});

/** The spec of a `DeviceProfile`, checked and complete. */
export type DeviceProfileSpec = Infer<typeof spec>;

/** One of its points. */
export type PointSpec = DeviceProfileSpec["points"][string];

/** One of its commands. */
export type CommandSpec = DeviceProfileSpec["commands"][string];

/** One value that an agent of hardware writes for a command. */
export type WriteSpec = NonNullable<CommandSpec["writes"]>[number];

/** `DeviceProfile`: see the guide for how payloads become samples. */
export const deviceProfileKind = defineKind<DeviceProfileSpec>({
  kind: "DeviceProfile",
  spec: spec as Schema<DeviceProfileSpec>,
  check: checkDeviceProfile,
});
