/** Puts the rules of a dispatcher together. */
import type { Bus } from "@myelin/bus";
import { STREAMS, subjects } from "@myelin/contract";
import type { Clock } from "@myelin/kernel";
import type { ProfileNames } from "@myelin/rules";
import { loadActionPlugins } from "../actions/plugins.js";
import { createJournals } from "../bus-ports.js";
import type { DispatcherConfig } from "../config.js";
import type { CoreLog } from "../core/ports.js";
import type { DeviceProfiles } from "../devices/device-profiles.js";
import type { DevicePublisher } from "../devices/module.js";
import type { Sinks } from "../history/sinks.js";
import type { DeviceRegistry } from "../registry/device-registry.js";
import type { ShadowFeed } from "../shadow/api.js";
import { RuleTable } from "./rule-table.js";
import { Rules } from "./rules.js";

/** What rules need of the dispatcher. */
export interface RulesWorld {
  readonly bus: Bus;
  readonly clock: Clock;
  readonly log: CoreLog;
  readonly partitions: number;
  readonly publisher: DevicePublisher;
  readonly sinks: Sinks;
  readonly registry: Pick<DeviceRegistry, "onPresence">;
  readonly shadows: ShadowFeed;
  readonly deviceProfiles: DeviceProfiles;
  /** The profile of that name that is in force. */
  readonly profile: (name: string) => ProfileNames | undefined;
  /** Which messages come here has changed. */
  readonly onMoved: () => void;
}

/** Nothing is opened before a partition is taken. */
export async function createRules(
  { placement, maxDevices, listNumbers }: DispatcherConfig["rules"],
  world: RulesWorld,
): Promise<{ readonly rules: Rules; readonly table: RuleTable }> {
  const { bus, clock, log, partitions, publisher, sinks, onMoved } = world;
  const table = new RuleTable({
    placement,
    plugins: await loadActionPlugins(),
    context: {
      bus,
      clock,
      partitions,
      publisher,
      sinks,
      raise: (fired, alarm) => rules.raise(fired, alarm),
    },
    log,
    clock,
    profile: world.profile,
  });
  const rules: Rules = new Rules({
    table,
    clock,
    log,
    partitions,
    maxDevices,
    listNumbersPerSecond: listNumbers,
    openJournal: createJournals(bus, STREAMS.rules.name, subjects.ruleJournal),
    serve: (subject, handler) => bus.serve(subject, handler),
    profileOf(tenant, device) {
      const profile = world.deviceProfiles.of(tenant, device);
      return profile === undefined || profile === "unknown" ? "" : profile.name;
    },
    onMoved,
  });
  world.registry.onPresence(({ tenant, device, presence }) =>
    rules.presence(tenant, device, presence.online),
  );
  world.shadows.onChange((_, { key, version, desired, reported, delta }) => {
    const state = { desired, reported, ...(delta !== undefined && { delta }) };
    rules.shadow(key.tenant, key.device, key.name, { state, version });
  });
  return { rules, table };
}
