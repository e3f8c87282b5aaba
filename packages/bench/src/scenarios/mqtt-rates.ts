/** What the scenarios from MQTT to MQTT have in common. */
import type { DriverOptions } from "../driver/driver.js";
import type { Case } from "../measure/rounds.js";
import { measureThroughput, type Subscribers } from "../measure/throughput.js";
import { bestRate, type GoalSpec, ratio } from "../report/goals.js";
import type { System } from "../systems/system.js";
import { type ScenarioContext, SUBJECT } from "./scenario.js";

/** Unfinished PUBLISHes per publisher above QoS 0: enough that the way there and back is never what limits. */
export const WINDOW = 100;

/** `suffix` tells the case from others of its scenario; `load` are the publishers. */
export interface MqttCase {
  readonly suffix: string;
  readonly load: DriverOptions;
  readonly subscribers: Subscribers;
}

/** Publishers and subscribers of the driver, as fast as the system lets them. */
export function mqttCase(context: ScenarioContext, system: System, one: MqttCase): Case {
  const { driver, settings } = context;
  return {
    system,
    suffix: one.suffix,
    start: { connections: settings.connections },
    measure: (running) =>
      measureThroughput({
        driver,
        running,
        role: "publish",
        load: { port: running.mqttPort, payload: settings.payloadBytes, ...one.load },
        subscribers: {
          ...one.subscribers,
          options: { gather: settings.gather, ...one.subscribers.options },
        },
        warmUpSeconds: settings.warmUpSeconds,
        seconds: settings.seconds,
      }),
  };
}

/** Deliveries per second in multiples of Mosquitto's; of no worth where messages were lost that had been acknowledged. */
export function vsMosquitto(scenario: string, suffix: string, what: string, atLeast: number): GoalSpec {
  return {
    name: `${scenario}.${suffix === "" ? "" : `${suffix}_`}vs_mosquitto`,
    what: `${what}, in multiples of Mosquitto's`,
    atLeast,
    value: (figure) => ratio(bestRate(figure, SUBJECT, suffix), bestRate(figure, "mosquitto", suffix)),
  };
}

/** Above QoS 0 nothing may be missing, and on the way to one subscriber nothing may come twice. */
export function exactly(scenario: string, suffix: string, figureName: "lost" | "doubled"): GoalSpec {
  const tail = suffix === "" ? "" : `_${suffix}`;
  return {
    name: `${scenario}.${suffix === "" ? "" : `${suffix}_`}${figureName}`,
    what: `messages ${figureName}${suffix === "" ? "" : `, ${suffix}`}`,
    atMost: 0,
    value: (figure) => figure(SUBJECT, `${figureName}${tail}`),
  };
}

/** Headings of the usual figures of one case. */
export function rateColumns(suffix: string, label: string): Record<string, string> {
  const tail = suffix === "" ? "" : `_${suffix}`;
  const heading = (what: string): string => (label === "" ? what : `${what}, ${label}`);
  return {
    [`messages_per_second${tail}`]: heading("msg/s"),
    [`messages_per_second_whole_run${tail}`]: heading("to the last"),
    [`cpu_us_per_message_whole_run${tail}`]: heading("CPU µs"),
    [`lost${tail}`]: heading("lost"),
  };
}
