/** Puts the module of shadows together. */
import { type Bus, DeviceCommandClient } from "@myelin/bus";
import { Kind, Protocol } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { DispatcherConfig } from "../config.js";
import type { Dispatcher } from "../core/dispatcher.js";
import type { CoreLog } from "../core/ports.js";
import type { DeviceDesk } from "../devices/device-desk.js";
import type { DeviceProfiles } from "../devices/device-profiles.js";
import type { DevicePublisher } from "../devices/module.js";
import { Shadows } from "./shadows.js";
import { KeyValueShadowStore } from "./store.js";
import { Voice } from "./voice.js";

/** What shadows need of their dispatcher. */
export interface ShadowsDependencies {
  readonly bus: Bus;
  readonly partitions: number;
  /** The NATS of the hub, where this is an edge node; not started. */
  readonly hub: Bus | undefined;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly core: Pick<Dispatcher, "partitions" | "compiler">;
  readonly desk: Pick<DeviceDesk, "wants">;
  readonly publisher: DevicePublisher;
  readonly deviceProfiles: DeviceProfiles;
}

/** Does no I/O by itself. */
export function createShadows(
  { memory: memoryBytes, gather: gatherMs, mirror }: DispatcherConfig["shadows"],
  { bus, partitions, hub, clock, log, core, desk, publisher, deviceProfiles }: ShadowsDependencies,
): Shadows {
  const voice = new Voice({
    publisher,
    log,
    locate: (partition, tenant, device) => core.partitions.get(partition)?.devices.find(tenant, device),
    isWanted: (tenant, deviceId, path) => {
      const sender = { tenant, deviceId, kind: Kind.SHADOW, protocol: Protocol.APP, port: "", profile: "" };
      const head = { ...sender, path, contentType: "application/json" };
      const { legs, conditions } = core.compiler.compile(head);
      if (conditions !== undefined || desk.wants(head)) return true;
      // The desk looks at everything that a profile could read.
      return legs.some(({ target }) => target.kind !== "devices");
    },
    request: (subject, data, timeoutMs) => bus.request(subject, data, timeoutMs),
  });
  return new Shadows({
    store: new KeyValueShadowStore(bus),
    clock,
    log,
    voice,
    hub,
    partitions,
    memoryBytes,
    gatherMs,
    mirror,
    profileOf: (tenant, device) => deviceProfiles.of(tenant, device),
    commands: new DeviceCommandClient(bus, partitions, clock),
    publish: (subject, data) => bus.publish(subject, data),
    serve: (subject, handler) => bus.serve(subject, handler),
  });
}
