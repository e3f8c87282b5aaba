import { MAX_CHANNEL_NUMBER, Protocol } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { TestAdmission } from "../../test/mqtt-rig.js";
import { RecordingEvents, RecordingTelemetry } from "../../test/recording-senders.js";
import { type ChannelSource, Ingress } from "./ingress.js";
import { type NewChannelOptions, NewChannels } from "./new-channels.js";

function ingressOf(
  limits = { channelsPerConnection: 8, sharedChannels: 64 },
  options: Partial<NewChannelOptions> = {},
) {
  const clock = new FakeClock();
  const numbers = new NewChannels({ clock, rate: undefined, onScarce: () => {}, ...options });
  const admission = new TestAdmission();
  const telemetry = new RecordingTelemetry();
  const events = new RecordingEvents();
  const ingress = new Ingress({ telemetry, events, admission, partitions: 8, limits, numbers });
  return { clock, admission, ingress };
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

  it("lets a device speak for itself alone on the topics of commands and shadows, whatever the rules allow", () => {
    const { ingress, admission } = ingressOf();
    const from = source(1);
    const { deviceId } = from.identity;
    const own = [
      `$aws/things/${deviceId}/shadow/update`,
      `$aws/commands/things/${deviceId}/executions/1/response/json`,
    ];
    const others = [
      "$aws/things/other/shadow/update",
      `$aws/commands/things/${deviceId}/executions/1/request/json`,
    ];
    for (const topic of [...own, ...others]) {
      const path = Buffer.from(topic);
      const isOwn = own.includes(topic);
      expect(ingress.channelFor(from, 1, path, 0, path.length) !== undefined, topic).toBe(isOwn);
      if (!isOwn) expect(ingress.refusal).toBe("auth.not_authorized");
    }
    expect(admission.asked).toEqual(own);
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

describe("a channel that is found", () => {
  const base = {
    identity: { tenant: "t", deviceId: "d", user: "u", clientId: "c", local: false },
    path: "p",
    kind: 1 as const,
    protocol: Protocol.HTTP,
    port: "http",
    contentType: "x",
  };
  const of = (identity: object, rest: object = {}) => ({
    ...base,
    ...rest,
    identity: { ...base.identity, ...identity },
  });

  it.each([
    ["tenant", of({ tenant: "t2" })],
    ["device", of({ deviceId: "d2" })],
    ["user", of({ user: "u2" })],
    ["client id", of({ clientId: "c2" })],
    ["trust", of({ local: true })],
    ["path", of({}, { path: "p2" })],
    ["kind", of({}, { kind: 2 })],
    ["protocol", of({}, { protocol: Protocol.UDP })],
    ["port", of({}, { port: "http2" })],
    ["content type", of({}, { contentType: "y" })],
    ["border between user and client id", of({ user: "uc", clientId: "" })],
    ["border between client id and content type", of({ clientId: "cx" }, { contentType: "" })],
    ["border between tenant and user", of({ tenant: "tu", user: "" })],
  ])("is not the one of another %s", (_, other) => {
    const { ingress } = ingressOf();
    expect(ingress.channelOf(other).number).not.toBe(ingress.channelOf(base).number);
  });

  it("by its path alone belongs to its source, also when the tables of both are full", () => {
    const { ingress } = ingressOf({ channelsPerConnection: 1, sharedChannels: 64 });
    const owner = { ...source(1), maxChannels: 0 };
    const children = [2, 3].map((n) => ({ ...source(n), owner, maxChannels: 0 }));
    const path = Buffer.from("p");
    const heads = [owner, ...children].map((from) => ingress.channelFor(from, 0, path, 0, 1)!.head.deviceId);
    expect(heads).toEqual(["d1", "d2", "d3"]);
  });
});

describe("a source that makes channels too fast", () => {
  const rate = { perSecond: 10, burst: 3 };
  const take = (ingress: Ingress, from: ChannelSource, path: string) => {
    const bytes = Buffer.from(path);
    return ingress.channelFor(from, 0, bytes, 0, bytes.length) === undefined ? ingress.refusal : "taken";
  };

  it("is refused new ones for a while and keeps those it has", async () => {
    const { ingress, clock } = ingressOf(undefined, { rate });
    const from = source(1);
    expect(["a", "b", "c", "d"].map((path) => take(ingress, from, path))).toEqual([
      "taken",
      "taken",
      "taken",
      "limit.rate",
    ]);
    expect([take(ingress, from, "a"), take(ingress, source(2), "d")]).toEqual(["taken", "taken"]);
    await clock.advance(100);
    expect(["d", "e"].map((path) => take(ingress, from, path))).toEqual(["taken", "limit.rate"]);
  });

  it("is slowed down instead where it can wait", () => {
    const { ingress } = ingressOf(undefined, { rate });
    const waits: number[] = [];
    const from = { ...source(1), slowDown: (ms: number) => void waits.push(ms) };
    const paths = ["a", "b", "c", "d", "e"];
    expect(new Set(paths.map((path) => take(ingress, from, path)))).toEqual(new Set(["taken"]));
    expect(waits).toEqual([200, 300]);
  });

  it("is held to one rate with all it speaks for, by whatever way", () => {
    const { ingress, admission } = ingressOf(undefined, { rate });
    const owner = source(1);
    const child = { ...source(2), owner };
    const identity = { tenant: "", deviceId: "d", user: "" };
    const key = {
      identity,
      path: "x",
      kind: 1,
      protocol: Protocol.HTTP,
      port: "p",
      contentType: "",
    } as const;
    expect([take(ingress, child, "a"), take(ingress, owner, "b")]).toEqual(["taken", "taken"]);
    ingress.channelOf(key, owner);
    expect(take(ingress, child, "c")).toBe("limit.rate");
    expect(() => ingress.channelOf({ ...key, path: "y" }, owner)).toThrow(
      expect.objectContaining({ code: "limit.rate" }),
    );
    // New rules are no new allowance.
    admission.generation += 1;
    expect(take(ingress, owner, "d")).toBe("limit.rate");
  });
});

describe("channel numbers", () => {
  const names = ["a", "b", "c"].map((name) => Buffer.from(name));

  it("that come to an end are told once, and in the end nothing new is taken", () => {
    const told: number[] = [];
    const numbers = { first: MAX_CHANNEL_NUMBER - 1, onScarce: () => void told.push(1) };
    const { ingress } = ingressOf(undefined, numbers);
    const from = source(1);
    const found = names.map((name) => ingress.channelFor(from, 0, name, 0, 1)?.number);
    expect(found).toEqual([MAX_CHANNEL_NUMBER - 1, MAX_CHANNEL_NUMBER, undefined]);
    expect([ingress.refusal, told]).toEqual(["queue.closed", [1]]);
    expect(ingress.channelFor(from, 0, names[0]!, 0, 1)?.number).toBe(MAX_CHANNEL_NUMBER - 1);
    const { identity, protocol, port, contentType } = from;
    const key = { identity, path: "d", kind: 1, protocol, port, contentType } as const;
    expect(() => ingress.channelOf(key)).toThrow(expect.objectContaining({ code: "queue.closed" }));
  });

  it("are told of long before the end", () => {
    const told: number[] = [];
    const { ingress } = ingressOf(undefined, {
      first: MAX_CHANNEL_NUMBER - 2 ** 24,
      onScarce: () => void told.push(1),
    });
    for (const name of names.slice(0, 2)) expect(ingress.channelFor(source(1), 0, name, 0, 1)).toBeDefined();
    expect(told).toEqual([1]);
  });
});
