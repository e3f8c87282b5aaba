/** The agent's metrics: plain counters, folded in when the page is read. */
import { bounded, defineMetrics, type MetricsRegistry } from "@myelin/observability";
import type { Agent } from "./node/agent.js";
import type { Outbox } from "./outbox/outbox.js";

const bus = bounded(200);

/** The list. */
export const agentMetricsList = defineMetrics({
  up: {
    type: "gauge",
    name: "myelin_hardware_agent_bus_up",
    help: "1 while the line of the bus is usable.",
    labels: { bus },
  },
  share: {
    type: "gauge",
    name: "myelin_hardware_agent_bus_planned_share",
    help: "Of the line's time, what all points of the bus ask for; above 0.9 some are not read.",
    labels: { bus },
  },
  units: {
    type: "gauge",
    name: "myelin_hardware_agent_units",
    help: "Devices on the bus, by how they do.",
    labels: { bus, state: ["answers", "degraded"] },
  },
  reads: {
    type: "counter",
    name: "myelin_hardware_agent_reads_total",
    help: "Requests that read points.",
    labels: { bus, outcome: ["answered", "failed"] },
  },
  late: {
    type: "counter",
    name: "myelin_hardware_agent_late_reads_total",
    help: "Turns of reads that were left out because the line was late.",
    labels: { bus },
  },
  samples: {
    type: "counter",
    name: "myelin_hardware_agent_samples_total",
    help: "Samples that were told: changes and heartbeats.",
    labels: { bus },
  },
  owed: {
    type: "gauge",
    name: "myelin_hardware_agent_outbox_owed_samples",
    help: "Samples that the hub does not have yet.",
  },
  stored: {
    type: "counter",
    name: "myelin_hardware_agent_outbox_stored_samples_total",
    help: "Samples that the hub has stored.",
  },
  lost: {
    type: "counter",
    name: "myelin_hardware_agent_outbox_lost_samples_total",
    help: "Samples that are lost, and why.",
    labels: { reason: ["full", "damaged", "memory", "refused"] },
  },
});

/** Registers the list and fills it before each scrape. */
export function foldMetrics(registry: MetricsRegistry, agent: Agent, outbox: Outbox): void {
  const page = registry.register(agentMetricsList);
  page.up.onCollect(() => {
    for (const [name, line] of agent.lines) {
      let [degraded, answers, reads, failures, late, samples] = [0, 0, 0, 0, 0, 0];
      for (const { health, counters } of line.units) {
        if (health.isDegraded) degraded += 1;
        else answers += 1;
        reads += counters.reads;
        failures += counters.failures;
        late += counters.late;
        samples += counters.samples;
      }
      page.up.with({ bus: name }).set(line.error === undefined ? 1 : 0);
      page.share.with({ bus: name }).set(line.fit.share);
      page.units.with({ bus: name, state: "answers" }).set(answers);
      page.units.with({ bus: name, state: "degraded" }).set(degraded);
      page.reads.with({ bus: name, outcome: "answered" }).value = reads - failures;
      page.reads.with({ bus: name, outcome: "failed" }).value = failures;
      page.late.with({ bus: name }).value = late;
      page.samples.with({ bus: name }).value = samples;
    }
    const { counters } = outbox;
    page.owed.with().set(outbox.owed);
    page.stored.with().value = counters.stored;
    for (const reason of ["full", "damaged", "memory", "refused"] as const)
      page.lost.with({ reason }).value = counters.lost[reason];
  });
}
