import { setTimeout as delay } from "node:timers/promises";
import type { Case } from "../../measure/rounds.js";
import { significant } from "../../measure/stats.js";
import { coresBetween, readCpu, readMemory } from "../../measure/usage.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const SETTLE_SECONDS = 5;
const SERVICES = ["listener", "dispatcher", "ipc-bridge"] as const;

export const scenario: Scenario = {
  name: "base",
  summary: "resident memory of a system that was just started and has nothing to do",
  protocols: ["mqtt", "http"],
  rounds: 1,
  columns: {
    rss_mb: "RSS MB",
    pss_mb: "PSS MB",
    system_cores: "cores",
    ...Object.fromEntries(SERVICES.map((service) => [`rss_mb_${service}`, `${service} MB`])),
  },
  compared: { rss_mb: "rss_mb" },
  goals: [
    ...SERVICES.map((service) => ({
      name: `base.${service}`,
      what: `resident MB of ${service} alone`,
      atMost: 90,
      value: (figure: (system: string, figure: string) => number | undefined) =>
        figure(SUBJECT, `rss_mb_${service}`),
    })),
    {
      name: "base.box",
      what: "resident MB of the embedded box with nats-server",
      atMost: 250,
      value: (figure) => figure(SUBJECT, "rss_mb"),
    },
  ],
  cases: ({ systems, settings }) =>
    systems.flatMap((system) => {
      const start = { connections: settings.connections };
      const { startService } = system;
      const alone = (startService && system.services) ?? [];
      return [
        { system, suffix: "", start, measure },
        ...alone.map(
          (service): Case => ({
            system,
            suffix: service,
            start,
            open: () => startService!(service),
            measure,
          }),
        ),
      ];
    }),
};

const measure: Case["measure"] = async (running) => {
  await delay(SETTLE_SECONDS * 1000);
  const from = readCpu(running);
  await delay(1000);
  const memory = readMemory(running);
  return {
    rss_mb: significant(memory.rssBytes / 1e6),
    pss_mb: significant(memory.pssBytes / 1e6),
    system_cores: significant(coresBetween(from, readCpu(running)), 3),
  };
};
