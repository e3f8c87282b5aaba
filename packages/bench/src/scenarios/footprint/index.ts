import { setTimeout as delay } from "node:timers/promises";
import { type AgentRig, startAgent } from "../../hardware/agent.js";
import { measureAgent } from "../../measure/modbus.js";
import { significant } from "../../measure/stats.js";
import { readMemory } from "../../measure/usage.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const UNITS = 100;
const POINTS = 100;
const SETTLE_SECONDS = 5;
const MEGABYTE = 1e6;

export const scenario: Scenario = {
  name: "footprint",
  summary: `resident memory of a hardware-agent with ${(UNITS * POINTS).toLocaleString("en")} points that it reads every second and that all change`,
  protocols: ["mqtt"],
  rounds: 1,
  columns: { rss_mb: "RSS MB", pss_mb: "PSS MB", tags_per_second: "tags/s", agent_cores: "cores" },
  compared: {},
  goals: [
    {
      name: "footprint.agent",
      what: "resident MB of a hardware-agent that polls 10,000 points",
      atMost: 120,
      value: (figure) => figure(SUBJECT, "rss_mb"),
    },
  ],
  cases: ({ systems, settings }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .map((system) => ({
        ...{ system, suffix: "", start: { connections: UNITS } },
        open: () =>
          startAgent({ units: UNITS, points: POINTS, pollMs: 1_000, isShared: false, timeoutMs: 1_000 }),
        measure: async (running) => {
          const rig = running as AgentRig;
          await delay(SETTLE_SECONDS * 1_000);
          const polled = await measureAgent(rig, settings);
          // While it polls, and after: what lasts counts, not what it had at its start.
          const { rssBytes, pssBytes } = readMemory(rig);
          return {
            ...polled,
            rss_mb: significant(rssBytes / MEGABYTE),
            pss_mb: significant(pssBytes / MEGABYTE),
          };
        },
      })),
};
