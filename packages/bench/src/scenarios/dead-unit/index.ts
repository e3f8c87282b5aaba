import { type AgentRig, startAgent } from "../../hardware/agent.js";
import { measureDeadUnit } from "../../measure/modbus.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const UNITS = 30;
const POINTS = 20;
const TIMEOUT_MS = 300;
/** With what units take to answer, the gateway is a third busy. */
const POLL_MS = 500;
const LATENCY_MS = 5;

export const scenario: Scenario = {
  name: "dead-unit",
  summary: `${UNITS} units behind a gateway that serves one request at a time; one of them falls silent, timeout ${TIMEOUT_MS} ms; Myelin only`,
  protocols: ["mqtt"],
  rounds: 1,
  columns: { reads_before: "reads/s", reads_beside: "beside a dead one", rate_beside_dead: "ratio" },
  compared: {},
  goals: [
    {
      name: "dead-unit.rate",
      what: `poll rate of the other ${UNITS - 1} from 10 s after one has died, against before`,
      atLeast: 0.95,
      value: (figure) => figure(SUBJECT, "rate_beside_dead"),
    },
  ],
  cases: ({ systems, settings }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .map((system) => ({
        ...{ system, suffix: "", start: { connections: 1 } },
        open: async () => {
          const layout = { units: UNITS, points: POINTS, pollMs: POLL_MS, timeoutMs: TIMEOUT_MS };
          const rig = await startAgent({ ...layout, isShared: true });
          rig.units.latencyMs = LATENCY_MS;
          return rig;
        },
        measure: (running) =>
          measureDeadUnit(running as AgentRig, {
            units: UNITS,
            pollMs: POLL_MS,
            warmUpSeconds: settings.warmUpSeconds,
          }),
      })),
};
