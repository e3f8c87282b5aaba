import type { Case } from "../../measure/rounds.js";
import { measureThroughput } from "../../measure/throughput.js";
import { type GoalSpec, ratio } from "../../report/goals.js";
import type { Lane, System } from "../../systems/system.js";
import { type Scenario, type ScenarioContext, SUBJECT } from "../scenario.js";

const LINES_PER_REQUEST = 500;

function ndjsonGoal(lane: Lane, atLeast: number): GoalSpec {
  return {
    name: `http.ndjson_${lane}`,
    what: `NDJSON readings per second to the consuming app, ${lane} lane`,
    atLeast,
    value: (figure) => figure(SUBJECT, `messages_per_second_ndjson_${lane}`),
  };
}

function singleGoal(lane: Lane): GoalSpec {
  const rate = `accepted_per_second_single_${lane}`;
  return {
    name: `http.single_${lane}_vs_fastify`,
    what: `single POSTs answered per second, ${lane} lane, as a share of a bare fastify route`,
    atLeast: 0.8,
    value: (figure) => ratio(figure(SUBJECT, rate), figure("fastify-bare", rate)),
  };
}

export const scenario: Scenario = {
  name: "http",
  summary: `POSTs over keep-alive connections without pipelining: one reading, and NDJSON of ${LINES_PER_REQUEST} lines`,
  protocols: ["http"],
  rounds: 3,
  columns: {
    accepted_per_second_single_telemetry: "POST/s telemetry",
    accepted_per_second_single_event: "POST/s event",
    cpu_us_per_message_single_event: "CPU µs/POST",
    messages_per_second_ndjson_telemetry: "NDJSON/s telemetry",
    messages_per_second_ndjson_event: "NDJSON/s event",
    cpu_us_per_message_ndjson_event: "CPU µs/reading",
    driver_cores_single_event: "driver cores",
  },
  compared: {
    accepted_per_second_single_telemetry: "accepted_per_second_single_telemetry",
    accepted_per_second_single_event: "accepted_per_second_single_event",
  },
  goals: [
    ndjsonGoal("telemetry", 300_000),
    ndjsonGoal("event", 150_000),
    singleGoal("telemetry"),
    singleGoal("event"),
  ],
  cases: (context) =>
    context.systems.flatMap((system) =>
      (["single", "ndjson"] as const).flatMap((kind) =>
        (["telemetry", "event"] as const).map((lane) => httpCase(context, system, kind, lane)),
      ),
    ),
};

function httpCase(
  { driver, settings }: ScenarioContext,
  system: System,
  kind: "single" | "ndjson",
  lane: Lane,
): Case {
  return {
    system,
    suffix: `${kind}_${lane}`,
    start: { connections: settings.connections },
    measure: (running) =>
      measureThroughput({
        driver,
        running,
        role: "http",
        load: {
          port: running.httpPort,
          connections: settings.connections,
          payload: settings.payloadBytes,
          lines: kind === "ndjson" ? LINES_PER_REQUEST : undefined,
          ...running.httpTarget?.(kind, lane),
        },
        ...(running.consume === undefined ? {} : { consume: { lane, mode: "batch", stamp: false } as const }),
        warmUpSeconds: settings.warmUpSeconds,
        seconds: settings.seconds,
      }),
  };
}
