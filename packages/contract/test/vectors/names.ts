/** Vectors of what is computed from names: partitions, subject tokens, ids. */
import {
  BatchBuilder,
  BatchView,
  createChannel,
  EMPTY_HEAD,
  envelopeIdOf,
  escapeToken,
  partitionOf,
  Stamp,
} from "../../src/index.js";
import { LINK } from "../batch-support.js";

export function partitionVectors() {
  const devices: [tenant: string, deviceId: string][] = [
    ["", ""],
    ["", "d1"],
    ["", "d2"],
    ["acme", "d1"],
    ["acme", "boiler-17"],
    ["", "Kühlung-3"],
    ["", "温度"],
    ["", "\u{1F321}"],
    ["a", "b"],
    ["", "a\0b"],
    ["t", "x".repeat(200)],
  ];
  return {
    function:
      "32-bit FNV-1a over the UTF-8 bytes of tenant, NUL, device id; h ^= h >> 16; modulo the number of partitions",
    cases: devices.flatMap(([tenant, deviceId]) =>
      [1, 8, 64, 1000].map((partitions) => ({
        tenant,
        device_id: deviceId,
        partitions,
        partition: partitionOf(tenant, deviceId, partitions),
      })),
    ),
  };
}

export function escapingVectors() {
  const texts = [
    "",
    "boiler-17_A",
    "a.b",
    "*",
    ">",
    "=",
    "=2E",
    " ",
    "a b",
    "\0",
    "\t\r\n",
    "ä",
    "Kühlung",
    "温度",
    "\u{1F321}",
    "\ufffd",
    "$JS.API.>",
  ];
  return {
    function:
      "A-Z a-z 0-9 - _ stay; every other UTF-8 byte becomes =HH (upper case); the empty text becomes =",
    good: texts.map((text) => ({ text, token: escapeToken(text) })),
    bad_texts: [
      { name: "longer than 1024 characters as a token", text: ".".repeat(342), error: "contract.bad_token" },
    ],
    bad_tokens: ["", "a.b", "*", "==", "=2e", "=41", "=FF", "=C3", "=2", "a=", "=ED=A0=80"],
  };
}

export function idVectors() {
  const random = Buffer.from("a1a2a3a4a5a6fffffffe", "hex");
  const generated = (nowUs: number, count: number): string[] => {
    const stamp = new Stamp(random);
    stamp.tick(nowUs);
    const builder = new BatchBuilder(LINK, stamp);
    const channel = createChannel(1, EMPTY_HEAD, 0);
    for (let i = 0; i < count; i++) builder.append(channel, Buffer.alloc(0), 0, 0);
    const view = new BatchView().reset(builder.finish() as Buffer);
    return Array.from({ length: count }, () => {
      view.next();
      return view.id().toString("hex");
    });
  };
  const senders: [tenant: string, deviceId: string, id: string][] = [
    ["", "d1", "e-1"],
    ["acme", "d1", "e-1"],
    ["acme", "d2", "e-1"],
    ["", "Kühlung-3", "温度-1"],
    ["", "", ""],
  ];
  return {
    generated: {
      function:
        "48 bits of Unix milliseconds, 48 random bits of the producer, 32 bits of a counter that starts at random and wraps",
      cases: [1_767_225_600_123_456, 1_767_225_600_124_000, 281_474_976_710_655_000].map((nowUs) => ({
        random: random.toString("hex"),
        now_us: nowUs,
        ids: generated(nowUs, 3),
      })),
    },
    of_sender: {
      function:
        "the first 16 bytes of SHA-256 over the UTF-8 bytes of tenant, NUL, device id, NUL, the sender's id",
      cases: senders.map(([tenant, deviceId, id]) => ({
        tenant,
        device_id: deviceId,
        sender_id: id,
        id: envelopeIdOf(tenant, deviceId, id).toString("hex"),
      })),
    },
  };
}
