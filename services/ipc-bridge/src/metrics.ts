/** The bridge's metrics: the list, and how plain counters become it when the page is read. */

import { Lane } from "@myelin/contract";
import { type AppError, ERROR_CODES } from "@myelin/kernel";
import { bounded, defineMetrics, type MetricsRegistry } from "@myelin/observability";
import { DROP_REASONS } from "./core/books.js";
import type { BridgeCore } from "./core/bridge-core.js";

const app = bounded(200);
const lane = ["telemetry", "event"] as const;

export const bridgeMetricsList = defineMetrics({
  sessions: {
    type: "gauge",
    name: "myelin_ipc_bridge_sessions",
    help: "App instances connected.",
    labels: { app },
  },
  streams: {
    type: "gauge",
    name: "myelin_ipc_bridge_streams",
    help: "Streams open, those without a hello included.",
  },
  unhealthy: {
    type: "gauge",
    name: "myelin_ipc_bridge_unhealthy_sessions",
    help: "App instances that get no work because their health checks fail.",
    labels: { app },
  },
  opened: {
    type: "counter",
    name: "myelin_ipc_bridge_sessions_opened_total",
    help: "Hellos that were let in.",
  },
  refused: {
    type: "counter",
    name: "myelin_ipc_bridge_errors_sent_total",
    help: "Errors that apps were told.",
    labels: { code: Object.keys(ERROR_CODES) },
  },
  delivered: {
    type: "counter",
    name: "myelin_ipc_bridge_delivered_messages_total",
    help: "Messages that apps are done with.",
    labels: { app, lane },
  },
  dropped: {
    type: "counter",
    name: "myelin_ipc_bridge_dropped_messages_total",
    help: "Messages that ended here; requeued ones are delivered again by their owner.",
    labels: { app, lane, reason: DROP_REASONS },
  },
  queued: {
    type: "gauge",
    name: "myelin_ipc_bridge_queued_messages",
    help: "Messages here or with apps, not acknowledged.",
    labels: { app, lane },
  },
  held: {
    type: "gauge",
    name: "myelin_ipc_bridge_held_bytes",
    help: "Bytes that wait here for credit or sockets.",
  },
  batches: {
    type: "counter",
    name: "myelin_ipc_bridge_batches_total",
    help: "Batches that came from dispatchers.",
  },
  malformed: {
    type: "counter",
    name: "myelin_ipc_bridge_malformed_batches_total",
    help: "Batches from dispatchers that could not be read.",
  },
  stale: {
    type: "counter",
    name: "myelin_ipc_bridge_stale_batches_total",
    help: "Batches of dispatchers that no longer own their partition.",
  },
});

/** Registers the list and fills it from the core before each scrape. Returns where refusals are counted. */
export function foldMetrics(registry: MetricsRegistry): {
  readonly refused: (error: AppError) => void;
  readonly attach: (core: BridgeCore) => void;
} {
  const page = registry.register(bridgeMetricsList);
  const attach = (core: BridgeCore): void => {
    let known = new Set<string>();
    page.sessions.onCollect(() => {
      const counts = new Map<string, { sessions: number; unhealthy: number }>();
      let held = 0;
      for (const session of core.openSessions()) {
        const count = counts.get(session.app) ?? { sessions: 0, unhealthy: 0 };
        count.sessions += 1;
        if (!session.health.healthy) count.unhealthy += 1;
        counts.set(session.app, count);
        held += session.deliveries?.heldBytes ?? 0;
      }
      for (const name of new Set([...known, ...counts.keys()])) {
        page.sessions.with({ app: name }).set(counts.get(name)?.sessions ?? 0);
        page.unhealthy.with({ app: name }).set(counts.get(name)?.unhealthy ?? 0);
      }
      known = new Set(counts.keys());
      page.held.with().set(held);
      page.streams.with().set(core.streams);
      const { counters } = core;
      page.opened.with().value = counters.sessionsOpened;
      page.batches.with().value = counters.batches;
      page.malformed.with().value = counters.malformedBatches;
      page.stale.with().value = counters.staleBatches;
      for (const account of core.books) {
        const labels = {
          app: account.target,
          lane: account.lane === Lane.TELEMETRY ? "telemetry" : "event",
        } as const;
        page.delivered.with(labels).value = account.forwarded;
        page.queued.with(labels).set(account.queued);
        for (const reason of DROP_REASONS)
          page.dropped.with({ ...labels, reason }).value = account.dropped[reason];
      }
    });
  };
  return { refused: (error) => page.refused.with({ code: error.code }).inc(), attach };
}
