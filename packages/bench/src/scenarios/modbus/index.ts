import { type AgentRig, startAgent } from "../../hardware/agent.js";
import { type LoopRig, measureAgent, measureLoop, startLoop } from "../../measure/modbus.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const UNITS = 100;
const POINTS = 1_000;
/** 111,000 tags a second. */
const POLL_MS = 900;
const BLOCK = 125;

/** Undefined where one of them was not measured. */
function ratio(of: number | undefined, to: number | undefined): number | undefined {
  return of === undefined || to === undefined ? undefined : of / to;
}

export const scenario: Scenario = {
  name: "modbus",
  summary: `${UNITS} Modbus TCP units of ${POINTS} registers that all change, polled every ${POLL_MS} ms by a hardware-agent; then by loops of modbus-serial, tag by tag and in bare blocks of ${BLOCK}`,
  protocols: ["mqtt"],
  rounds: 3,
  columns: {
    tags_per_second: "tags/s",
    agent_cores: "cores",
    tags_per_core: "tags/s per core",
    tags_per_core_tag_loop: "tag loop",
    tags_per_core_block_loop: "block loop",
  },
  compared: {},
  goals: [
    {
      name: "modbus.tags",
      what: "tags per second that are polled, checked and stored by the event stream",
      atLeast: 100_000,
      value: (figure) => figure(SUBJECT, "tags_per_second"),
    },
    {
      name: "modbus.cores",
      what: "processor time of the agent meanwhile, cores",
      atMost: 1,
      value: (figure) => figure(SUBJECT, "agent_cores"),
    },
    {
      name: "modbus.vs_tag_loop",
      what: "tags per second and core, against a loop of modbus-serial that reads tag by tag",
      atLeast: 10,
      value: (figure) => ratio(figure(SUBJECT, "tags_per_core"), figure(SUBJECT, "tags_per_core_tag_loop")),
    },
    {
      name: "modbus.vs_block_loop",
      what: `the same, against one that reads blocks of ${BLOCK} and does nothing with them`,
      atLeast: 0.7,
      value: (figure) => ratio(figure(SUBJECT, "tags_per_core"), figure(SUBJECT, "tags_per_core_block_loop")),
    },
  ],
  cases: ({ systems, settings }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .flatMap((system) => {
        const common = { system, start: { connections: UNITS } };
        const layout = { units: UNITS, points: POINTS, pollMs: POLL_MS, isShared: false, timeoutMs: 1_000 };
        return [
          {
            ...common,
            suffix: "",
            open: () => startAgent(layout),
            measure: (running) => measureAgent(running as AgentRig, settings),
          },
          {
            ...common,
            suffix: "tag_loop",
            open: () => startLoop(UNITS, POINTS, 1),
            measure: (running) => measureLoop(running as LoopRig, settings),
          },
          {
            ...common,
            suffix: "block_loop",
            open: () => startLoop(UNITS, POINTS, BLOCK),
            measure: (running) => measureLoop(running as LoopRig, settings),
          },
        ];
      }),
};
