import type { Case } from "../../measure/rounds.js";
import { measureThroughput } from "../../measure/throughput.js";
import { type FigureLookup, type GoalSpec, ratio } from "../../report/goals.js";
import type { System } from "../../systems/system.js";
import { type Scenario, type ScenarioContext, SUBJECT } from "../scenario.js";

// Unacknowledged PUBLISHes per connection: enough that the way there and back is never what limits.
const WINDOW = 100;

function rateGoal(variant: string, atLeast: number): GoalSpec {
  return {
    name: `events.${variant}_vs_mosquitto`,
    what: `events to an app, PUBACK after the file store (${variant}), in multiples of Mosquitto's QoS 1 publish rate`,
    atLeast,
    value: (figure) =>
      ratio(figure(SUBJECT, `messages_per_second_${variant}`), figure("mosquitto", "accepted_per_second")),
  };
}

function cpuGoal(variant: string): GoalSpec {
  const cpu = "cpu_us_per_message";
  return {
    name: `events.cpu_${variant}_vs_mosquitto`,
    what: `CPU per event over all processes of the system (${variant}), as a share of Mosquitto's`,
    atMost: 0.7,
    value: (figure: FigureLookup) => ratio(figure(SUBJECT, `${cpu}_${variant}`), figure("mosquitto", cpu)),
  };
}

export const scenario: Scenario = {
  name: "events",
  summary: `MQTT QoS 1 publishers, ${WINDOW} in flight per connection, to a consumer that acknowledges`,
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    accepted_per_second: "acked/s",
    messages_per_second: "msg/s",
    messages_per_second_whole_run: "msg/s to the last",
    cpu_us_per_message_whole_run: "CPU µs/msg",
    lost: "lost",
    accepted_per_second_publish_only: "acked/s, no consumer",
    messages_per_second_balanced: "msg/s balanced",
    cpu_us_per_message_balanced: "CPU balanced",
    lost_balanced: "lost balanced",
    messages_per_second_strict: "msg/s strict",
    cpu_us_per_message_strict: "CPU strict",
    lost_strict: "lost strict",
    driver_cores: "driver cores",
  },
  compared: {
    messages_per_second_balanced: "accepted_per_second",
    messages_per_second_strict: "accepted_per_second",
    cpu_us_per_message_balanced: "cpu_us_per_message",
    cpu_us_per_message_strict: "cpu_us_per_message",
  },
  goals: [rateGoal("balanced", 3.5), rateGoal("strict", 2.5), cpuGoal("balanced"), cpuGoal("strict")],
  cases: (context) =>
    context.systems.flatMap((system) =>
      system.variants === undefined
        ? [eventsCase(context, system, ""), eventsCase(context, system, "publish_only")]
        : system.variants.map((variant) => eventsCase(context, system, variant)),
    ),
};

function eventsCase({ driver, settings }: ScenarioContext, system: System, suffix: string): Case {
  const variant = system.variants?.includes(suffix) ? { variant: suffix } : {};
  return {
    system,
    suffix,
    start: { connections: settings.connections, ...variant },
    measure: (running) =>
      measureThroughput({
        driver,
        running,
        role: "publish",
        load: {
          port: running.mqttPort,
          connections: settings.connections,
          payload: settings.payloadBytes,
          qos: 1,
          window: WINDOW,
          topic: "bench/{c}/data",
        },
        ...(suffix === "publish_only"
          ? {}
          : { consume: { lane: "event", mode: "batch", stamp: false, gather: settings.gather } as const }),
        warmUpSeconds: settings.warmUpSeconds,
        seconds: settings.seconds,
      }),
  };
}
