/** A physical line of an edge node, with what is known of its manners. */
import {
  durationMs,
  exactlyOne,
  integer,
  object,
  oneOf,
  optional,
  port,
  string,
} from "../schema/builders.js";
import type { Problem } from "../schema/check.js";
import type { Infer } from "../schema/schema.js";
import { edgeNode } from "./edge-node.js";
import { defineKind } from "./kind.js";

const host = string({ description: "Name or address of the other end.", minLength: 1, maxLength: 253 });

const serial = object({
  path: string({
    description:
      "Device file. One in /dev/serial/by-id stays the same when others are plugged in, /dev/ttyUSB0 does not.",
    pattern: "^/.+",
    rule: "an absolute path, such as /dev/serial/by-id/usb-FTDI_…",
    maxLength: 1_024,
  }),
  baud: integer({ description: "Bits per second.", default: 19_200, minimum: 50, maximum: 12_000_000 }),
  dataBits: integer({ description: "Bits of data in a character.", default: 8, minimum: 7, maximum: 8 }),
  parity: oneOf(["none", "even", "odd"], {
    description: "Parity bit. Modbus asks for `even`, or `none` with two stop bits.",
    default: "even",
  }),
  stopBits: integer({ description: "Stop bits.", default: 1, minimum: 1, maximum: 2 }),
  rts: oneOf(["off", "send", "receive"], {
    description:
      "When the program itself raises RTS, for RS-485 adapters that do not switch by themselves: while it sends, or while it does not. `off`: never, the adapter or the kernel does it.",
    default: "off",
  }),
});

const tcp = object({
  host,
  port: port({ description: "Port of the other end.", default: 502 }),
  connectTimeout: durationMs({
    description: "How long the other end may take to accept the connection.",
    default: "3s",
    min: "10ms",
    max: "1m",
  }),
  outstanding: integer({
    description:
      "Requests that may be on the way at a time, where the protocol can tell the answers apart. Gateways to serial lines want 1.",
    default: 1,
    minimum: 1,
    maximum: 64,
  }),
});

const udp = object({ host, port: port({ description: "Port of the other end." }) });

const gpio = object({
  chip: string({
    description: "Character device of the chip, such as gpiochip0.",
    pattern: "^[A-Za-z0-9_-]+$",
    rule: "the name of a device in /dev, such as gpiochip0",
    maxLength: 64,
  }),
});

const simulated = object({
  latency: durationMs({
    description: "How long its units take to answer.",
    default: "2ms",
    max: "1m",
  }),
  bitsPerSecond: optional(
    integer({
      description:
        "As fast as a serial line of this speed, 11 bits to the byte; left out, bytes take no time.",
      minimum: 50,
      maximum: 12_000_000,
    }),
  ),
  seed: integer({
    description: "The same one makes the same noise at each start.",
    default: 1,
    minimum: 0,
    maximum: 4_294_967_295,
  }),
});

const spec = object({
  description: optional(string({ description: "For people.", maxLength: 1_024 })),
  node: edgeNode("Edge node that the line is at; the agent there has it alone."),
  link: exactlyOne(
    {
      serial: { ...serial, description: "A serial line, RS-485 or RS-232." },
      tcp: { ...tcp, description: "A connection to a unit or a gateway." },
      udp: { ...udp, description: "Datagrams to a unit or a gateway." },
      gpio: { ...gpio, description: "Pins of this machine." },
      simulated: { ...simulated, description: "No hardware: models of some, to try things out with." },
    },
    { description: "What the line is." },
  ),
  timeout: durationMs({
    description:
      "How long a unit may keep silent after a request. Short ones lose slow units, long ones cost the neighbours of a dead one.",
    default: "300ms",
    min: "1ms",
    max: "1m",
  }),
  retries: integer({
    description: "How often a read is asked again at once. A write is never sent twice.",
    default: 0,
    minimum: 0,
    maximum: 5,
  }),
  gap: optional(
    durationMs({
      description:
        "Silence before each request. Left out: of serial lines 3.5 characters, at least 1.75 ms, of others none.",
      max: "10s",
    }),
  ),
  turnaround: durationMs({
    description: "Silence after a request that nobody answers, because it goes to all units.",
    default: "100ms",
    max: "10s",
  }),
  unitLatency: durationMs({
    description:
      "How long units usually take to answer, for the computation of whether the line has time for all that is to be read.",
    default: "5ms",
    max: "1m",
  }),
});

/** The spec of a `Bus`, checked and complete. */
export type BusSpec = Infer<typeof spec>;

function checkBus({ timeout, unitLatency }: BusSpec): readonly Problem[] {
  if (unitLatency < timeout) return [];
  return [{ path: ["unitLatency"], value: unitLatency, rule: `shorter than timeout, ${timeout} ms` }];
}

/** `Bus`: the agent of its node opens it and has it alone. */
export const busKind = defineKind<BusSpec>({ kind: "Bus", spec, check: checkBus });
