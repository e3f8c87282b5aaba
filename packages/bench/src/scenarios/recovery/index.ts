import { AppError } from "@myelin/kernel";
import { measureKill, measureRouteEdit } from "../../measure/recovery.js";
import type { Case } from "../../measure/rounds.js";
import type { FigureLookup, GoalSpec } from "../../report/goals.js";
import type { Recoverable, Running } from "../../systems/system.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const PROCESSES = ["nats-server", "core", "listener-0"] as const;
const BACK_MS = 2_000;
const ROUTE_MS = 1_000;

export const scenario: Scenario = {
  name: "recovery",
  summary:
    "a reading every 10 ms over HTTP while a route is edited (longest of ten edits) and while each process is killed with SIGKILL",
  protocols: ["http"],
  rounds: 3,
  columns: {
    route_edit_ms: "route edit, ms",
    ...Object.fromEntries(
      PROCESSES.flatMap((name) => [
        [`telemetry_ms_${name}`, `${name}: telemetry ms`],
        [`event_ms_${name}`, "event ms"],
        [`ready_ms_${name}`, "ready ms"],
      ]),
    ),
  },
  compared: {},
  goals: [
    {
      name: "recovery.route_edit",
      what: "from an edited route to the first reading by the new one, in ms",
      atMost: ROUTE_MS,
      value: (figure) => figure(SUBJECT, "route_edit_ms"),
    },
    ...PROCESSES.map(
      (name): GoalSpec => ({
        name: `recovery.${name}`,
        what: `from kill -9 of ${name} until both lanes deliver to the app again and it is ready, in ms`,
        atMost: BACK_MS,
        value: (figure) => slowest(figure, name),
      }),
    ),
  ],
  cases: ({ systems, settings }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .flatMap((system): Case[] => {
        const start = { connections: settings.connections };
        return [
          { system, suffix: "", start, measure: (running) => measureRouteEdit(recoverable(running)) },
          ...PROCESSES.map((name): Case => {
            const measure: Case["measure"] = (running) => measureKill(recoverable(running), name);
            return { system, suffix: name, start, measure };
          }),
        ];
      }),
};

function slowest(figure: FigureLookup, name: string): number | undefined {
  const all = ["telemetry_ms", "event_ms", "ready_ms"].map((what) => figure(SUBJECT, `${what}_${name}`));
  return all.every((value) => value !== undefined) ? Math.max(...all) : undefined;
}

function recoverable(running: Running): Recoverable {
  if (running.recoverable !== undefined) return running.recoverable;
  throw new AppError("internal.invalid_argument", "this system cannot be upset");
}
