/** A piece of hardware at an edge node: on which line it is, how it is spoken to, and where its points are. */
import { durationMs, object, oneOf, optional, record, string } from "../schema/builders.js";
import type { Problem } from "../schema/check.js";
import type { Infer } from "../schema/schema.js";
import { edgeNode } from "./edge-node.js";
import { defineKind } from "./kind.js";

const RESOURCE_NAME = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$";
const named = (description: string) =>
  string({
    description,
    minLength: 1,
    maxLength: 253,
    pattern: RESOURCE_NAME,
    rule: "a name of lower-case letters, digits, - and .",
  });

const poll = (description: string) => durationMs({ description, min: "1ms", max: "24h" });

const point = object({
  address: string({
    description: "Where the point is, as the driver writes it: a register, a pin, a node.",
    minLength: 1,
    maxLength: 256,
  }),
  poll: optional(poll("Time between two readings of this point; left out, that of the device.")),
});

const spec = object({
  id: optional(
    string({
      description: "Device id its messages bear; left out, the name of the resource.",
      minLength: 1,
      maxLength: 256,
      pattern: "^[^+#\\u0000]+$",
      rule: "text without + and #, because it is a part of topics",
    }),
  ),
  description: optional(string({ description: "For people.", maxLength: 1_024 })),
  node: edgeNode("Edge node whose agent drives it."),
  bus: named("Name of a Bus of that node: the line it is on."),
  driver: string({
    description: "Driver that speaks its protocol.",
    pattern: "^[a-z][a-z0-9]*(-[a-z0-9]+)*$",
    rule: "the name of a driver, such as modbus-rtu",
    maxLength: 64,
  }),
  profile: named("Name of a DeviceProfile: its points, commands and safety envelope."),
  address: optional(
    string({
      description:
        "Which unit of the line it is, as the driver writes it; left out where a line has only one.",
      minLength: 1,
      maxLength: 256,
    }),
  ),
  settings: record(string({ description: "Value.", maxLength: 1_024 }), {
    description: "More settings of the driver.",
    default: {},
    maxProperties: 64,
    keyPattern: "^[A-Za-z][A-Za-z0-9_.-]{0,63}$",
  }),
  poll: durationMs({
    description: "Time between two readings of a point.",
    default: "1s",
    min: "1ms",
    max: "24h",
  }),
  heartbeat: durationMs({
    description:
      "A point that has not changed by more than its deadband is told again after this time, so that unchanged and gone are different things. `0s`: every reading is told.",
    default: "1m",
    max: "24h",
  }),
  points: record(point, {
    description: "Where the points of the profile are; those left out are not read.",
    default: {},
    maxProperties: 4_096,
    keyPattern: "^[A-Za-z][A-Za-z0-9_]{0,63}$",
  }),
  mode: oneOf(["active", "readOnly", "off"], {
    description: "`readOnly`: nothing is ever written to it. `off`: it is left alone altogether.",
    default: "active",
  }),
});

/** The spec of a `Device`, checked and complete. */
export type DeviceSpec = Infer<typeof spec>;

function checkDevice({ points }: DeviceSpec): readonly Problem[] {
  const takenBy = new Map<string, string>();
  return Object.entries(points).flatMap(([name, { address }]) => {
    const other = takenBy.get(address);
    takenBy.set(address, other ?? name);
    if (other === undefined) return [];
    const rule = `another address than that of ${other}: one place holds one point`;
    return [{ path: ["points", name, "address"], value: address, rule }];
  });
}

/** `Device`: the agent of its node acts on it. Devices of the network are in the registry instead. */
export const deviceKind = defineKind<DeviceSpec>({ kind: "Device", spec, check: checkDevice });
