import { AppError } from "@myelin/kernel";
import { measureRegistry } from "../../measure/registry.js";
import type { Case } from "../../measure/rounds.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const DEVICES = 1_000_000;

export const scenario: Scenario = {
  name: "registry",
  summary:
    "a million devices: imported over HTTP, looked up one by one, and read again after the core was killed",
  protocols: ["http"],
  rounds: 1,
  columns: {
    imported_per_second: "imported/s",
    lookup_p50_ms: "look-up p50, ms",
    lookup_p99_ms: "p99",
    lookups_per_second: "look-ups/s",
    start_seconds: "start, s",
    core_growth_mb: "core grew, MB",
  },
  compared: {},
  goals: [
    {
      name: "registry.import",
      what: "devices imported per second, a million of them, each stored",
      atLeast: 20_000,
      value: (figure) => figure(SUBJECT, "imported_per_second"),
    },
    {
      name: "registry.lookup",
      what: "look-up of one device among a million, p99 in ms",
      atMost: 2,
      value: (figure) => figure(SUBJECT, "lookup_p99_ms"),
    },
    {
      name: "registry.start",
      what: "from kill -9 of the core until all of a million devices can be looked up, in s",
      atMost: 30,
      value: (figure) => figure(SUBJECT, "start_seconds"),
    },
  ],
  cases: ({ systems }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .map(
        (system): Case => ({
          system,
          suffix: "",
          start: { connections: 1 },
          measure: (running) => {
            const { recoverable, httpPort } = running;
            if (recoverable === undefined || httpPort === undefined)
              throw new AppError("internal.unreachable", "a box has an HTTP port and comes back");
            return measureRegistry({ running, recoverable, httpPort, devices: DEVICES });
          },
        }),
      ),
};
