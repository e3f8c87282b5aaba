import { FakeClock } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { silentLogger } from "../log/logger.js";
import { Sampler } from "./sampler.js";
import { formatTraceparent, newTraceContext, tryParseTraceparent } from "./traceparent.js";
import { Tracing } from "./tracing.js";

const VALID = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

describe("traceparent", () => {
  it("parses the example of the specification", () => {
    expect(tryParseTraceparent(VALID)).toEqual({
      traceId: "0af7651916cd43dd8448eb211c80319c",
      spanId: "b7ad6b7169203331",
      sampled: true,
    });
  });

  it.each([
    [""],
    [VALID.slice(0, -1)],
    [VALID.toUpperCase()],
    [`ff${VALID.slice(2)}`],
    [`${VALID}-more`],
    ["00-00000000000000000000000000000000-b7ad6b7169203331-01"],
    ["00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01"],
    [`01${VALID.slice(2)}-${"x".repeat(300)}`],
  ])("ignores %s", (text) => {
    expect(tryParseTraceparent(text)).toBeUndefined();
  });

  it("accepts later versions with more behind", () => {
    expect(tryParseTraceparent(`01${VALID.slice(2)}-more`)?.sampled).toBe(true);
  });

  it("survives a round trip and never throws", () => {
    fc.assert(
      fc.property(fc.boolean(), (sampled) => {
        const context = newTraceContext(sampled);
        expect(tryParseTraceparent(formatTraceparent(context))).toEqual(context);
      }),
    );
    fc.assert(fc.property(fc.string(), (text) => void tryParseTraceparent(text)));
  });
});

describe("Sampler", () => {
  it("keeps the ratio exactly over many messages", () => {
    const sampler = new Sampler({ ratio: 0.25, maxPerSecond: 1000, clock: new FakeClock() });
    const sampled = Array.from({ length: 1000 }, () => sampler.sample()).filter(Boolean).length;
    expect(sampled).toBe(250);
  });

  it("keeps to the limit per second, also for senders who ask", async () => {
    const clock = new FakeClock();
    const sampler = new Sampler({ ratio: 1, maxPerSecond: 10, clock });
    expect(Array.from({ length: 50 }, () => sampler.sample()).filter(Boolean)).toHaveLength(10);
    expect(sampler.admit()).toBe(false);
    await clock.advance(100);
    expect([sampler.admit(), sampler.sample()]).toEqual([true, false]);
  });

  it("refuses a ratio outside 0 to 1", () => {
    for (const ratio of [-0.1, 1.1, Number.NaN]) {
      expect(() => new Sampler({ ratio, maxPerSecond: 1, clock: new FakeClock() })).toThrowError(
        /within 0 and 1/,
      );
    }
  });
});

describe("Tracing without an endpoint", () => {
  it("samples nothing and passes the sender's context on unchanged", async () => {
    const tracing = new Tracing({ service: "listener", instance: "l", ratio: 1, log: silentLogger });
    await tracing.start();
    expect([tracing.enabled, tracing.sampleIngress(), tracing.acceptIngress(VALID)]).toEqual([
      false,
      false,
      false,
    ]);
    const span = tracing.startSpan("listener receive", { parent: VALID });
    span.setAttribute("a", 1);
    span.end();
    expect([span.traceparent, tracing.startSpan("x").traceparent]).toEqual([VALID, ""]);
    await tracing.stop();
  });
});
