/** The dispatcher's metrics: the list, and how plain counters become it when the page is read. */
import { bounded, defineMetrics, type MetricsRegistry } from "@myelin/observability";
import type { Dispatcher } from "./core/dispatcher.js";
import type { EventDoor } from "./core/event-door.js";
import { DROP_REASONS, HOPS } from "./core/ledger.js";
import type { DeviceDesk } from "./devices/device-desk.js";
import type { FlowModule } from "./flows/flow-module.js";
import type { Sinks } from "./history/sinks.js";
import type { RetainedKeeper } from "./retained/keeper.js";
import type { Shadows } from "./shadow/shadows.js";

const lane = ["telemetry", "event"] as const;
const target = bounded(200);

/** The list. */
export const dispatcherMetricsList = defineMetrics({
  partitions: {
    type: "gauge",
    name: "myelin_dispatcher_partitions",
    help: "Partitions owned.",
  },
  received: {
    type: "counter",
    name: "myelin_dispatcher_received_messages_total",
    help: "Messages that came to a hop.",
    labels: { hop: HOPS, lane, target },
  },
  forwarded: {
    type: "counter",
    name: "myelin_dispatcher_forwarded_messages_total",
    help: "Messages that a hop has passed on.",
    labels: { hop: HOPS, lane, target },
  },
  stored: {
    type: "counter",
    name: "myelin_dispatcher_stored_messages_total",
    help: "Messages put aside in a stream: overflow or unrouted.",
    labels: { hop: HOPS, lane, target },
  },
  expired: {
    type: "counter",
    name: "myelin_dispatcher_expired_messages_total",
    help: "Messages that had become too old.",
    labels: { hop: HOPS, lane, target },
  },
  dropped: {
    type: "counter",
    name: "myelin_dispatcher_dropped_messages_total",
    help: "Messages that ended here.",
    labels: { hop: HOPS, lane, target, reason: DROP_REASONS },
  },
  queued: {
    type: "gauge",
    name: "myelin_dispatcher_queued_messages",
    help: "Messages held at the moment.",
    labels: { hop: HOPS, lane, target },
  },
  pending: {
    type: "gauge",
    name: "myelin_dispatcher_pending_event_batches",
    help: "Event batches taken and not acknowledged, over all owned partitions.",
  },
  overflowing: {
    type: "gauge",
    name: "myelin_dispatcher_overflowing_queues",
    help: "Queues of a target and partition that go through the overflow at the moment.",
  },
  eventsAccepted: {
    type: "gauge",
    name: "myelin_dispatcher_events_accepted",
    help: "1 while the event stream accepts events, 0 while they are refused because too much waits.",
  },
  sideStreamFill: {
    type: "gauge",
    name: "myelin_dispatcher_side_stream_fill_ratio",
    help: "How full the streams are that take what cannot be delivered; events are refused from 0.75 on.",
    labels: { stream: ["overflow", "unrouted"] },
  },
  retainedMessages: {
    type: "gauge",
    name: "myelin_dispatcher_retained_messages",
    help: "Retained messages kept, in the owned partitions of topics.",
  },
  retainedBytes: {
    type: "gauge",
    name: "myelin_dispatcher_retained_bytes",
    help: "Their bytes.",
  },
  retainedAccepted: {
    type: "gauge",
    name: "myelin_dispatcher_retained_accepted",
    help: "1 while retained messages are accepted, 0 while they are refused because there are too many.",
  },
  retainedRefused: {
    type: "counter",
    name: "myelin_dispatcher_retained_refused_messages_total",
    help: "Messages of the telemetry lane that were not kept because there are too many.",
  },
  sinkReadings: {
    type: "counter",
    name: "myelin_dispatcher_sink_readings_total",
    help: "Readings that the store of a sink has confirmed.",
    labels: { sink: target },
  },
  sinkSkipped: {
    type: "counter",
    name: "myelin_dispatcher_sink_skipped_messages_total",
    help: "Messages that held no value for a sink.",
    labels: { sink: target },
  },
  sinkFailures: {
    type: "counter",
    name: "myelin_dispatcher_sink_failed_writes_total",
    help: "Writes that the store of a sink did not take: events wait and are tried again.",
    labels: { sink: target },
  },
  sinkBytes: {
    type: "gauge",
    name: "myelin_dispatcher_sink_store_bytes",
    help: "Bytes that the readings of a sink's store take, where it knows.",
    labels: { sink: target },
  },
  devices: {
    type: "gauge",
    name: "myelin_dispatcher_connected_devices",
    help: "Devices known to be connected, in the owned partitions.",
  },
  wills: {
    type: "gauge",
    name: "myelin_dispatcher_wills",
    help: "Wills of clients that would be published if their listener died, in the owned partitions.",
  },
  willsHandedOver: {
    type: "counter",
    name: "myelin_dispatcher_wills_handed_over_total",
    help: "Wills of listeners that have died, handed to others.",
  },
  willsLost: {
    type: "counter",
    name: "myelin_dispatcher_wills_lost_total",
    help: "Wills that found no room, or no listener to take them for ten minutes.",
    labels: { reason: ["no_listener", "no_room"] },
  },
  planPages: {
    type: "gauge",
    name: "myelin_dispatcher_plan_pages",
    help: "Pages of remembered routing decisions.",
  },
  appsRefused: {
    type: "counter",
    name: "myelin_dispatcher_apps_refused_total",
    help: "Announcements of apps that are not taken because there are too many.",
  },
  routingErrors: {
    type: "counter",
    name: "myelin_dispatcher_routing_errors_total",
    help: "Events kept with the unrouted because routing them has failed by a defect.",
  },
  deskDefects: {
    type: "counter",
    name: "myelin_dispatcher_device_desk_defects_total",
    help: "Messages of devices that had no effect on a shadow, command or rule because of a defect.",
  },
  shadows: {
    type: "gauge",
    name: "myelin_dispatcher_shadows",
    help: "Shadows in memory; the others lie in their store.",
  },
  shadowBytes: {
    type: "gauge",
    name: "myelin_dispatcher_shadow_memory_bytes",
    help: "What the shadows in memory take, about.",
  },
  shadowsDrifting: {
    type: "gauge",
    name: "myelin_dispatcher_shadows_drifting",
    help: "Shadows whose devices do not show what is desired of them.",
  },
  shadowReadings: {
    type: "counter",
    name: "myelin_dispatcher_shadow_readings_total",
    help: "Readings of devices with a profile that came to their shadows.",
  },
  shadowDropped: {
    type: "counter",
    name: "myelin_dispatcher_shadow_dropped_readings_total",
    help: "Readings that are in no shadow because there was no room: in memory, or in the shadow.",
  },
  shadowWrites: {
    type: "counter",
    name: "myelin_dispatcher_shadow_writes_total",
    help: "Changes of shadows that were stored; readings are gathered before.",
  },
  shadowLoads: {
    type: "counter",
    name: "myelin_dispatcher_shadow_loads_total",
    help: "Shadows read from their store because they were not in memory.",
  },
  flowRuns: {
    type: "gauge",
    name: "myelin_dispatcher_flow_runs",
    help: "Runs of flows that are not over.",
  },
  filters: {
    type: "gauge",
    name: "myelin_dispatcher_filters",
    help: "Topic filters known of listeners and sessions, each counted once.",
  },
  filtersRefused: {
    type: "counter",
    name: "myelin_dispatcher_filters_refused_total",
    help: "Topic filters of listeners and sessions that are not known because there are too many: who holds them misses messages.",
  },
  generation: {
    type: "gauge",
    name: "myelin_dispatcher_plan_generation",
    help: "Grows with each change of routes or of what apps subscribe to.",
  },
});

/** What is counted. */
export interface Counted {
  readonly core: Dispatcher;
  readonly door: EventDoor;
  readonly retained: RetainedKeeper;
  readonly sinks: Sinks;
  readonly desk: DeviceDesk;
  readonly shadows: Shadows;
  readonly flows: Pick<FlowModule, "openRuns">;
}

/** Registers the list and fills it from the core before each scrape. */
export function foldMetrics(registry: MetricsRegistry, counted: Counted): void {
  const { core, door, retained, sinks, desk, shadows, flows } = counted;
  const page = registry.register(dispatcherMetricsList);
  page.partitions.onCollect(() => {
    page.partitions.with().set(core.partitions.size);
    page.planPages.with().set(core.plans.size);
    page.appsRefused.with().value = core.appsRefused;
    page.routingErrors.with().value = core.routingErrors;
    page.deskDefects.with().value = desk.defects;
    page.shadows.with().set(shadows.figures.shadows);
    page.shadowBytes.with().set(shadows.budget.used);
    page.shadowsDrifting.with().set(shadows.figures.drifting);
    page.shadowReadings.with().value = shadows.counters.readings;
    page.shadowDropped.with().value = shadows.counters.dropped;
    page.shadowWrites.with().value = shadows.counters.writes;
    page.shadowLoads.with().value = shadows.counters.loads;
    page.flowRuns.with().set(flows.openRuns);
    page.filters.with().set(core.compiler.listeners.filters.filters);
    page.filtersRefused.with().value = core.compiler.listeners.refused;
    page.generation.with().set(core.compiler.generation);
    let pending = 0;
    let overflowing = 0;
    let devices = 0;
    let wills = 0;
    for (const partition of core.partitions.values()) {
      pending += partition.pending;
      devices += partition.devices.size;
      wills += partition.wills.size;
      for (const [, queue] of partition.events.entries()) if (queue.overflowing) overflowing++;
    }
    page.pending.with().set(pending);
    page.overflowing.with().set(overflowing);
    page.eventsAccepted.with().set(door.isOpen ? 1 : 0);
    for (const stream of ["overflow", "unrouted"] as const) {
      page.sideStreamFill.with({ stream }).set(door.fill[stream]);
    }
    page.devices.with().set(devices);
    page.wills.with().set(wills);
    page.willsHandedOver.with().value = core.lostWills.handedOver;
    page.willsLost.with({ reason: "no_listener" }).value = core.lostWills.givenUp;
    page.willsLost.with({ reason: "no_room" }).value = core.willRoom.refused;
    page.retainedMessages.with().set(retained.budget.messages);
    page.retainedBytes.with().set(retained.budget.bytes);
    page.retainedAccepted.with().set(retained.budget.isFull ? 0 : 1);
    page.retainedRefused.with().value = retained.refused;
    for (const { name: sink, counts, store } of sinks.all()) {
      page.sinkReadings.with({ sink }).value = counts.readings;
      page.sinkSkipped.with({ sink }).value = counts.skipped;
      page.sinkFailures.with({ sink }).value = counts.failures;
      if (store.bytes !== undefined) page.sinkBytes.with({ sink }).set(store.bytes);
    }
    for (const account of core.ledger.all()) {
      if (account.received === 0) continue;
      const labels = { hop: account.hop, lane: account.lane, target: account.target };
      page.received.with(labels).value = account.received;
      page.forwarded.with(labels).value = account.forwarded;
      page.stored.with(labels).value = account.stored;
      page.expired.with(labels).value = account.expired;
      page.queued.with(labels).set(account.queued());
      for (const [reason, count] of account.dropped) {
        page.dropped.with({ ...labels, reason }).value = count;
      }
    }
  });
}
