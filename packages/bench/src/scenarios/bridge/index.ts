import { DIRECTIONS, openBridged } from "../../measure/bridged.js";
import { measureThroughput } from "../../measure/throughput.js";
import { rateColumns, WINDOW } from "../mqtt-rates.js";
import type { Scenario } from "../scenario.js";

const QOS = 1;

export const scenario: Scenario = {
  name: "bridge",
  summary: "QoS 1 through the system's bridge to a Mosquitto, out and in, to one MQTT subscriber",
  protocols: ["mqtt"],
  rounds: 3,
  columns: { ...rateColumns("out", "out"), ...rateColumns("in", "in") },
  compared: Object.fromEntries(
    DIRECTIONS.flatMap((direction) =>
      [`messages_per_second_${direction}`, `messages_per_second_whole_run_${direction}`].map((name) => [
        name,
        name,
      ]),
    ),
  ),
  goals: [],
  cases: ({ driver, systems, settings }) =>
    systems.flatMap((system) => {
      const { startBridged } = system;
      if (startBridged === undefined) return [];
      const { connections } = settings;
      return DIRECTIONS.map((direction) => ({
        system,
        suffix: direction,
        start: { connections },
        open: () => openBridged({ driver, direction, connections, startBridged }),
        measure: (running) => {
          const ends = [running.mqttPort, running.farMqttPort];
          const [from, to] = direction === "out" ? ends : ends.reverse();
          return measureThroughput({
            driver,
            running,
            role: "publish",
            load: { port: from, payload: settings.payloadBytes, connections, qos: QOS, window: WINDOW },
            subscribers: {
              options: { port: to, connections: 1, qos: QOS, gather: settings.gather },
              copies: 1,
            },
            warmUpSeconds: settings.warmUpSeconds,
            seconds: settings.seconds,
          });
        },
      }));
    }),
};
