/** What the engine keeps of a device, and firings, as they stand in the journal. */
import { rule as wire } from "@myelin/contract";
import type { SavedDevice, Value } from "@myelin/rules";

const PHASES = {
  idle: wire.Phase.IDLE,
  pending: wire.Phase.PENDING,
  active: wire.Phase.ACTIVE,
  clearing: wire.Phase.CLEARING,
} as const;

type Phase = keyof typeof PHASES;

const PHASE_NAMES = new Map(Object.entries(PHASES).map(([name, number]) => [number, name as Phase]));

/** For the journal. */
export function toWireDevice(saved: SavedDevice): wire.SavedDevice {
  const { tenant, device, profile, seenMs, slots, nodes, rules } = saved;
  return {
    tenant,
    device,
    profile,
    seenMs,
    slots: slots.map(([key, value, timeMs]) => ({ key, value: toWireValue(value), timeMs })),
    nodes: nodes.map(([key, numbers]) => ({ key, numbers: [...numbers] })),
    rules: rules.map(([rule, phase, sinceMs, firedMs]) => ({ rule, phase: PHASES[phase], sinceMs, firedMs })),
  };
}

/** For the engine. */
export function fromWireDevice(saved: wire.SavedDevice): SavedDevice {
  const { tenant, device, profile, seenMs, slots, nodes, rules } = saved;
  return {
    tenant,
    device,
    profile,
    seenMs,
    slots: slots.flatMap(({ key, value, timeMs }) => {
      const own = value?.value?.value;
      return own === undefined ? [] : [[key, own, timeMs] as const];
    }),
    nodes: nodes.map(({ key, numbers }) => [key, numbers]),
    rules: rules.map(({ rule, phase, sinceMs, firedMs }) => [
      rule,
      PHASE_NAMES.get(phase as never) ?? "idle",
      sinceMs,
      firedMs,
    ]),
  };
}

/** Lists are written as JSON: they are for people to read. */
export function toWireValue(value: Value): wire.Value {
  if (typeof value === "number") return { value: { $case: "number", value } };
  if (typeof value === "boolean") return { value: { $case: "boolean", value } };
  return { value: { $case: "text", value: typeof value === "string" ? value : JSON.stringify(value) } };
}

/** Named values for the journal. */
export function toWireValues(values: Readonly<Record<string, Value>>): wire.NamedValue[] {
  return Object.entries(values).map(([name, value]) => ({ name, value: toWireValue(value) }));
}

/** What `toWireValues` has made. */
export function fromWireValues(values: readonly wire.NamedValue[]): Readonly<Record<string, Value>> {
  return Object.fromEntries(
    values.flatMap(({ name, value }) => {
      const own = value?.value?.value;
      return own === undefined ? [] : [[name, own] as const];
    }),
  );
}
