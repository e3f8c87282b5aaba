import { AppError } from "@myelin/kernel";
import type { Case } from "../../measure/rounds.js";
import { measureEvaluations, measureIdleRule, type RulesOptions } from "../../measure/rules.js";
import type { Running } from "../../systems/system.js";
import { type Scenario, type ScenarioContext, SUBJECT } from "../scenario.js";

const DEVICES = 10_000;
/** Each makes ten rules look, so that a quarter more than the goal is asked for. */
const RATE = 25_000;

export const scenario: Scenario = {
  name: "rules",
  summary: `1,000 rules over ${DEVICES} MQTT devices that send ${RATE} messages a second, ten rules each; then telemetry by turns with and without a rule that matches nothing of it; Myelin only`,
  protocols: ["mqtt"],
  rounds: 1,
  columns: {
    evaluations_per_second: "evaluations/s",
    sent_per_second: "messages sent/s",
    cpu_us_per_evaluation: "CPU µs/evaluation",
    rate_with_idle_rule: "rate with an idle rule",
    cpu_with_idle_rule: "CPU with it",
  },
  compared: {},
  goals: [
    {
      name: "rules.evaluations",
      what: `conditions looked at per second, 1,000 rules over ${DEVICES} devices`,
      atLeast: 200_000,
      value: (figure) => figure(SUBJECT, "evaluations_per_second"),
    },
    {
      name: "rules.idle",
      what: "processor time per message of telemetry with a rule that matches nothing of it, as a multiple of that without",
      atMost: 1.02,
      value: (figure) => figure(SUBJECT, "cpu_with_idle_rule"),
    },
  ],
  cases: (context) =>
    context.systems
      .filter(({ name }) => name === SUBJECT)
      .flatMap((system): Case[] => [
        {
          system,
          suffix: "",
          start: { connections: DEVICES },
          measure: (running) =>
            measureEvaluations({
              ...optionsOf(context, running),
              devices: DEVICES,
              ratePerSecond: RATE,
            }),
        },
        {
          system,
          suffix: "",
          start: { connections: context.settings.connections },
          measure: (running) =>
            measureIdleRule({
              ...optionsOf(context, running),
              connections: context.settings.connections,
            }),
        },
      ]),
};

function optionsOf({ driver, settings }: ScenarioContext, running: Running): RulesOptions {
  const { operable, httpPort } = running;
  if (operable === undefined || httpPort === undefined)
    throw new AppError("internal.unreachable", "a box has an HTTP port and takes resources");
  const { warmUpSeconds, seconds } = settings;
  return { driver, running, operable, httpPort, warmUpSeconds, seconds };
}
