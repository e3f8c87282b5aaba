import fc from "fast-check";
import { generate } from "mqtt-packet";
import { expect, it } from "vitest";
import { countPublishes } from "./unread.js";

const packet = fc.oneof(
  fc.record({
    qos: fc.constantFrom(0, 1, 2),
    bytes: fc.constantFrom(0, 1, 100, 126, 127, 128, 16_383, 16_384, 70_000),
  }),
  fc.constant("pingreq" as const),
  fc.constant("puback" as const),
);

const encoded = (one: "pingreq" | "puback" | { qos: number; bytes: number }): Buffer => {
  if (one === "pingreq") return generate({ cmd: "pingreq" });
  if (one === "puback") return generate({ cmd: "puback", messageId: 7 });
  const { qos, bytes } = one;
  const rest = { topic: "a/b", payload: Buffer.alloc(bytes, 0x30), dup: false, retain: false, messageId: 9 };
  return generate({ cmd: "publish", qos: qos as 0 | 1 | 2, ...rest });
};

it("counts each whole message once, by its lane, wherever the bytes end", () => {
  fc.assert(
    fc.property(fc.array(packet, { maxLength: 12 }), fc.nat(), (packets, cut) => {
      const parts = packets.map(encoded);
      const all = Buffer.concat(parts);
      const end = all.length === 0 ? 0 : cut % (all.length + 1);
      const expected = { telemetry: 0, event: 0 };
      let at = 0;
      for (const [i, one] of packets.entries()) {
        at += parts[i]!.length;
        if (at <= end && typeof one === "object") expected[one.qos === 0 ? "telemetry" : "event"] += 1;
      }
      expect(countPublishes(all.subarray(0, end))).toEqual(expected);
    }),
  );
});

it("never throws, and ends, whatever the bytes are", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
      const { telemetry, event } = countPublishes(Buffer.from(bytes));
      expect(telemetry + event).toBeLessThanOrEqual(bytes.length / 2);
    }),
  );
});
