import { AppError } from "@myelin/kernel";
import { measureBacktest } from "../../measure/backtest.js";
import type { Case } from "../../measure/rounds.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const READINGS = 10_000_000;
const DEVICES = 1_000;

export const scenario: Scenario = {
  name: "backtest",
  summary: `\`myelin rules backtest\` over ${READINGS / 1e6} M readings of ${DEVICES} devices in SQLite; Myelin only`,
  protocols: ["http"],
  rounds: 1,
  columns: {
    backtest_seconds: "back-test, s",
    readings_per_second: "readings/s",
    firings: "firings",
    progress_lines: "lines of progress",
  },
  compared: {},
  goals: [
    {
      name: "backtest.seconds",
      what: `back-test of a rule over ${READINGS / 1e6} M stored readings, s`,
      atMost: 60,
      value: (figure) => figure(SUBJECT, "backtest_seconds"),
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
          measure: ({ operable, httpPort }) => {
            if (operable === undefined || httpPort === undefined)
              throw new AppError("internal.unreachable", "a box has an HTTP port and takes resources");
            return measureBacktest({ operable, httpPort, devices: DEVICES, readings: READINGS });
          },
        }),
      ),
};
