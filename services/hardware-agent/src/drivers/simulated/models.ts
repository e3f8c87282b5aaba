/** Pieces of physics: what a machine's points are after some time, and what happens when they are written. */

/** Values of a model's points by name. Those in `writable` may be set from outside. */
export interface Model {
  readonly values: Record<string, number>;
  readonly writable: readonly string[];
  /** Lets time pass; never more than a minute at once. */
  step(seconds: number): void;
}

/** Makes the same noise for the same seed: mulberry32, from 0 to 1. */
export function noiseOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** 1000 l of water: a pump fills it, an open valve empties it the faster the fuller it is. */
function tank(noise: () => number): Model {
  const values: Record<string, number> = {
    level: 40,
    inflow: 0,
    outflow: 0,
    pump: 1,
    valve: 30,
    overflow: 0,
  };
  return {
    values,
    writable: ["pump", "valve"],
    step(seconds) {
      const level = values.level as number;
      const inflow = values.pump === 1 ? 2.5 + 0.1 * (noise() - 0.5) : 0;
      const outflow = ((values.valve as number) / 100) * 0.9 * Math.sqrt(Math.max(0, level));
      const next = level + ((inflow - outflow) * seconds) / 10;
      Object.assign(values, {
        inflow,
        outflow,
        level: Math.min(100, Math.max(0, next)),
        overflow: next > 100 ? 1 : 0,
      });
    },
  };
}

/** A motor that follows its setpoint, warms up by its load and trips when it is too hot. */
function motor(noise: () => number): Model {
  const values: Record<string, number> = {
    speed: 0,
    current: 0,
    temperature: 22,
    setpoint: 1_200,
    run: 1,
    tripped: 0,
    load: 40,
  };
  return {
    values,
    writable: ["setpoint", "run", "load"],
    step(seconds) {
      const v = values as Record<"speed" | "temperature" | "setpoint" | "run" | "tripped" | "load", number>;
      const wanted = v.run === 1 && v.tripped === 0 ? v.setpoint : 0;
      const speed = wanted + (v.speed - wanted) * Math.exp(-seconds / 3);
      const current = speed < 1 ? 0 : 1.2 + (v.load / 100) * 14 * (speed / 1_500) + 0.2 * noise();
      const rest = 22 + 0.4 * current ** 2;
      const temperature = rest + (v.temperature - rest) * Math.exp(-seconds / 120);
      const tripped = temperature > 95 || (v.tripped === 1 && v.run === 1) ? 1 : 0;
      Object.assign(values, { speed, current, temperature, tripped });
    },
  };
}

/** A room with a heater and a window, and weather outside that turns once a day. */
function room(noise: () => number): Model {
  const values: Record<string, number> = {
    temperature: 19,
    humidity: 45,
    co2: 600,
    heater: 0,
    window: 0,
    persons: 2,
  };
  let time = 0;
  return {
    values,
    writable: ["heater", "window", "persons"],
    step(seconds) {
      time += seconds;
      const v = values as Record<
        "temperature" | "humidity" | "co2" | "heater" | "window" | "persons",
        number
      >;
      const outside = 8 + 6 * Math.sin((2 * Math.PI * time) / 86_400);
      const airing = v.window === 1 ? 1 / 600 : 1 / 14_400;
      const approach = (from: number, to: number, rate: number): number =>
        to + (from - to) * Math.exp(-rate * seconds);
      Object.assign(values, {
        temperature:
          approach(v.temperature, outside, airing) + (v.heater * 0.002 + v.persons * 0.0001) * seconds,
        co2: Math.max(420, approach(v.co2, 420, airing) + v.persons * 0.005 * seconds),
        humidity: approach(v.humidity, 45 + 4 * (noise() - 0.5), 1 / 300),
      });
    },
  };
}

/** What `address` of a Device may begin with. */
export const models: Readonly<Record<string, (noise: () => number) => Model>> = { tank, motor, room };
