import { Protocol } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TestAdmission } from "../../test/mqtt-rig.js";
import { RecordingEvents, RecordingTelemetry } from "../../test/recording-senders.js";
import { type ChannelSource, Ingress } from "./ingress.js";

function ingressOf(limits = { channelsPerConnection: 8, sharedChannels: 64 }) {
  const admission = new TestAdmission();
  const telemetry = new RecordingTelemetry();
  const events = new RecordingEvents();
  return { admission, ingress: new Ingress({ telemetry, events, admission, partitions: 8, limits }) };
}

function source(number: number, deviceId = `d${number}`): ChannelSource {
  return {
    number,
    identity: { tenant: "", deviceId, user: "" },
    protocol: Protocol.MQTT,
    port: "p",
    contentType: "",
    channels: undefined,
  };
}

describe("Ingress.channelFor", () => {
  it("answers as a map by source, lane and path would, whatever the tables' sizes", () => {
    const step = fc.record({
      from: fc.nat(3),
      lane: fc.constantFrom<0 | 1>(0, 1),
      path: fc.constantFrom(...Array.from({ length: 40 }, (_, i) => `site/${i % 7}/value/${i}`)),
    });
    fc.assert(
      fc.property(
        fc.record({
          channelsPerConnection: fc.integer({ min: 1, max: 20 }),
          sharedChannels: fc.constantFrom(8, 64, 256),
        }),
        fc.array(step, { maxLength: 300 }),
        (limits, steps) => {
          const { ingress } = ingressOf(limits);
          const sources = [1, 2, 3, 4].map((n) => source(n));
          const known = new Map<number, string>();
          for (const { from, lane, path } of steps) {
            const padded = Buffer.from(`##${path}##`);
            const channel = ingress.channelFor(sources[from]!, lane, padded, 2, padded.length - 2)!;
            expect(channel.head).toMatchObject({ path, deviceId: `d${from + 1}`, kind: lane === 0 ? 1 : 2 });
            // A number stands for one head for ever.
            const name = `${from} ${lane} ${path}`;
            expect(known.get(channel.number) ?? name).toBe(name);
            known.set(channel.number, name);
          }
        },
      ),
    );
  });

  it("keeps the channels of a connection as long as they fit", () => {
    const { ingress, admission } = ingressOf({ channelsPerConnection: 100, sharedChannels: 8 });
    const from = source(1);
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < 100; i++) {
        const path = Buffer.from(`p/${i}`);
        ingress.channelFor(from, 0, path, 0, path.length);
      }
    }
    expect(admission.asked).toHaveLength(100);
  });

  it("keeps refusals too and says why", () => {
    const { ingress, admission } = ingressOf();
    admission.refusedPaths.add("no");
    const from = source(1);
    const path = Buffer.from("no");
    for (let i = 0; i < 3; i++) {
      expect(ingress.channelFor(from, 0, path, 0, 2)).toBeUndefined();
      expect(ingress.refusal).toBe("auth.not_authorized");
    }
    expect(admission.asked).toEqual(["no"]);
  });

  it("asks the source about paths that are new, and keeps none that it refuses", () => {
    const { ingress, admission } = ingressOf();
    const from = source(1);
    let asked = 0;
    from.checkPath = () => {
      asked += 1;
      return "protocol.malformed";
    };
    const path = Buffer.from("x");
    expect(ingress.channelFor(from, 0, path, 0, 1)).toBeUndefined();
    expect(ingress.channelFor(from, 0, path, 0, 1)).toBeUndefined();
    expect([asked, admission.asked.length]).toEqual([2, 0]);
  });

  it("tells responses to commands by their path", () => {
    const { ingress } = ingressOf();
    const path = Buffer.from("devices/d1/commands/on/response");
    expect(ingress.channelFor(source(1), 1, path, 0, path.length)!.head.kind).toBe(4);
  });
});

describe("Ingress.channelOf", () => {
  const key = (path: string) => ({
    identity: { tenant: "", deviceId: "d", user: "" },
    path,
    kind: 1 as const,
    protocol: Protocol.HTTP,
    port: "http",
    contentType: "text/plain",
  });

  it("returns the same channel for the same head and forgets the least recently used one", () => {
    const { ingress } = ingressOf({ channelsPerConnection: 1, sharedChannels: 2 });
    const a = ingress.channelOf(key("a"));
    const b = ingress.channelOf(key("b"));
    expect(ingress.channelOf(key("a"))).toBe(a);
    ingress.channelOf(key("c"));
    expect(ingress.channelOf(key("a"))).toBe(a);
    expect(ingress.channelOf(key("b")).number).not.toBe(b.number);
  });

  it("throws for what admission refuses, and asks again when the rules have changed", () => {
    const { ingress, admission } = ingressOf();
    ingress.channelOf(key("a"));
    admission.refusedPaths.add("a");
    admission.generation += 1;
    expect(() => ingress.channelOf(key("a"))).toThrow(
      expect.objectContaining({ code: "auth.not_authorized" }),
    );
  });
});
