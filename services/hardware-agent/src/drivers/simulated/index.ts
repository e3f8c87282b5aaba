/** Hardware that is not there: a tank, a motor or a room, to try things out and to test against. */
import { durationMs, integer, object, oneOf } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { ModelLine } from "../../links/model-line.js";
import type { AnyDriver, Driver } from "../adapter.js";
import { models, noiseOf } from "./models.js";
import { FAULTS, SimulatedAdapter, type SimulatedRead } from "./simulated-adapter.js";

const settings = object({
  fault: oneOf(FAULTS, {
    description:
      "What it does wrong from the start: keeps silent, sends broken frames, refuses, or stays as it is. The point `fault` sets it by its place in this list.",
    default: "none",
  }),
  timeout: durationMs({ description: "How long a silent unit takes the line.", default: "300ms", max: "1m" }),
  maxPoints: integer({ description: "Most points in a request.", default: 100, minimum: 1, maximum: 1_000 }),
  seed: integer({ description: "Of its noise.", default: 1, minimum: 0, maximum: 4_294_967_295 }),
});

interface Settings {
  readonly fault: (typeof FAULTS)[number];
  readonly timeout: number;
  readonly maxPoints: number;
  readonly seed: number;
}

const REQUEST_BYTES = 8;
const HEAD_BYTES = 5;
const VALUE_BYTES = 4;

const simulated: Driver<string, string, Settings, SimulatedRead> = {
  name: "simulated",
  links: ["simulated"],
  settings,
  parseUnit(text = "") {
    const [model = ""] = text.split(":");
    if (Object.hasOwn(models, model)) return text;
    const known = Object.keys(models).join(", ");
    throw new AppError(
      "hardware.bad_address",
      `${JSON.stringify(text)} must be one of ${known}, or one of them with a colon and any name`,
    );
  },
  parseAddress(text, { type }) {
    if (!/^[a-z][A-Za-z0-9]{0,31}$/.test(text))
      throw new AppError(
        "hardware.bad_address",
        `${JSON.stringify(text)} must be the name of a point of the model`,
      );
    if (type === "string") throw new AppError("hardware.bad_address", `${text} is a number, not text`);
    return text;
  },
  plan(_unit, points, { maxPoints }) {
    const reads: SimulatedRead[] = [];
    for (const [intervalMs, group] of Map.groupBy(points, (point) => point.intervalMs))
      for (let at = 0; at < group.length; at += maxPoints) {
        const some = group.slice(at, at + maxPoints);
        reads.push({
          points: Uint32Array.from(some, ({ number }) => number),
          names: some.map(({ address }) => address),
          requestBytes: REQUEST_BYTES,
          responseBytes: HEAD_BYTES + VALUE_BYTES * some.length,
          intervalMs,
        });
      }
    return reads;
  },
  open(link, unit, { fault, timeout, seed }, clock) {
    const [name = ""] = unit.split(":");
    const make = models[name] as (noise: () => number) => ReturnType<(typeof models)[string]>;
    return new SimulatedAdapter({
      line: link as ModelLine,
      model: make(noiseOf(seed)),
      unit: numberOf(unit),
      clock,
      timeoutMs: timeout,
      fault: FAULTS.indexOf(fault),
    });
  },
};

/** Names to numbers, for the fairness of the queue: two units that share one only take turns together. */
function numberOf(unit: string): number {
  let hash = 0;
  for (const char of unit) hash = (Math.imul(hash, 31) + (char.codePointAt(0) as number)) | 0;
  return hash;
}

/** What the registry loads. */
export const drivers: readonly AnyDriver[] = [simulated as AnyDriver];
