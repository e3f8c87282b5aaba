import {
  measureKeeping,
  measureReplay,
  measureSteady,
  type OutboxRig,
  openOutbox,
} from "../../measure/outbox.js";
import { type Scenario, SUBJECT } from "../scenario.js";

const KEPT = 10_000_000;
/** At the pace of replay this fills the better part of a minute. */
const REPLAYED = 2_000_000;

export const scenario: Scenario = {
  name: "outbox",
  summary: `${KEPT / 1e6} M samples to the disk of a hardware-agent whose hub is away; then ${REPLAYED / 1e6} M replayed beside live ones; Myelin only`,
  protocols: ["mqtt"],
  rounds: 1,
  columns: {
    kept_per_second: "kept/s",
    cpu_us_per_sample: "µs CPU",
    longest_unsynced_ms: "unsynced ms",
    replayed_per_second: "replayed/s",
    live_p99_ms: "live p99 ms",
    live_p99_replaying_ms: "replaying ms",
  },
  compared: {},
  goals: [
    {
      name: "outbox.kept",
      what: "samples per second that an outbox takes to its disk",
      atLeast: 100_000,
      value: (figure) => figure(SUBJECT, "kept_per_second"),
    },
    {
      name: "outbox.unsynced",
      what: "longest time between a write and the end of the sync that covers it, at 100,000 samples a second, ms",
      atMost: 200,
      value: (figure) => figure(SUBJECT, "longest_unsynced_ms"),
    },
    {
      name: "outbox.replayed",
      what: "samples of a backlog that the stream has stored per second",
      atLeast: 20_000,
      value: (figure) => figure(SUBJECT, "replayed_per_second"),
    },
    {
      name: "outbox.live_p99",
      what: "p99 of live samples while a backlog goes out, against the time without one",
      atMost: 2,
      value: (figure) => figure(SUBJECT, "live_p99_ratio"),
    },
  ],
  cases: ({ systems }) =>
    systems
      .filter(({ name }) => name === SUBJECT)
      .flatMap((system) => {
        const start = { connections: 0 };
        return [
          {
            ...{ system, suffix: "", start, open: openOutbox },
            measure: (running) => measureKeeping(running as OutboxRig, KEPT),
          },
          {
            ...{ system, suffix: "", start, open: openOutbox },
            measure: (running) => measureSteady(running as OutboxRig),
          },
          {
            ...{ system, suffix: "", start, open: openOutbox },
            measure: (running) => measureReplay(running as OutboxRig, REPLAYED),
          },
        ];
      }),
};
