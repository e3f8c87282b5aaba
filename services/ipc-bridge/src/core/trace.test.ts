import { randomBytes } from "node:crypto";
import { BatchBuilder, BatchView, createChannel, Kind, Lane, Protocol, Stamp } from "@myelin/contract";
import type { Span, SpanOptions } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { Books } from "./books.js";
import { Deliveries, type DeliveryPorts } from "./deliveries.js";
import { tracedPublish } from "./publish-trace.js";

const TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const head = {
  tenant: "",
  deviceId: "d",
  path: "p",
  kind: Kind.TELEMETRY,
  protocol: Protocol.MQTT,
  contentType: "",
  port: "mqtt",
  profile: "",
};
const channel = createChannel(1, head, 0);

/** Writes down what happens to spans; each names its own number as the next hop's parent. */
class Recorder {
  readonly lines: string[] = [];
  accept = true;
  sample = false;
  #count = 0;

  sampleIngress = (): boolean => this.sample;
  acceptIngress = (): boolean => this.accept;
  startSpan = (name: string, { parent = "" }: SpanOptions = {}): Span => {
    const own = `span-${++this.#count}`;
    this.lines.push(`begin ${name} under ${parent === TRACEPARENT ? "listener" : parent}`);
    return {
      traceparent: own,
      setAttribute: (key, value) => void this.lines.push(`${key}=${value}`),
      end: ({ error } = {}) => void this.lines.push(`end ${name}${error === undefined ? "" : " failed"}`),
    };
  };
}

function batches(lane: Lane) {
  const link = { sender: "o", incarnation: 1, partition: 0, lane, target: "a", targetInstance: "i" };
  const builder = new BatchBuilder(link, new Stamp(randomBytes(10)));
  builder.epoch = 1;
  return (traceparents: readonly string[]): BatchView => {
    for (const traceparent of traceparents) {
      const bytes = Buffer.from("x");
      if (traceparent === "") builder.append(channel, bytes, 0, 1);
      else builder.appendWith(channel, bytes, 0, 1, { traceparent });
    }
    return new BatchView().reset(builder.finish()!);
  };
}

function deliveriesWith(tracing: Recorder, ports: Partial<DeliveryPorts> = {}): Deliveries {
  return new Deliveries(
    {
      app: "a",
      instance: "i",
      tracing,
      books: new Books(),
      heldBytes: 1_000_000,
      send: () => true,
      acknowledged: () => undefined,
      fail: () => undefined,
      ...ports,
    },
    { envelopes: 2, bytes: 1_000_000 },
  );
}

describe("a delivery", () => {
  it("has a span until it is sent and one until the app is done, for traced messages alone", () => {
    const recorder = new Recorder();
    const deliveries = deliveriesWith(recorder);
    const batch = batches(Lane.EVENT);
    deliveries.offer(batch(["", TRACEPARENT]));
    deliveries.offer(batch(["", ""]));
    expect(recorder.lines.splice(0)).toEqual([
      "begin bridge deliver under listener",
      "end bridge deliver",
      "begin app settle under span-1",
    ]);
    deliveries.acknowledge({ partition: 0, lane: Lane.EVENT, epoch: 1, sequence: 2 });
    expect(recorder.lines).toEqual(["end app settle"]);
  });

  it("ends the spans of what an app leaves behind as failed, with the reason of the books", () => {
    const recorder = new Recorder();
    const deliveries = deliveriesWith(recorder);
    const batch = batches(Lane.EVENT);
    deliveries.offer(batch([TRACEPARENT]));
    // Beyond the credit: it waits here.
    deliveries.offer(batch([TRACEPARENT, TRACEPARENT]));
    recorder.lines.length = 0;
    deliveries.close();
    expect(recorder.lines).toEqual([
      "myelin.drop.reason=requeued",
      "end app settle failed",
      "myelin.drop.reason=requeued",
      "end bridge deliver failed",
      "myelin.drop.reason=requeued",
      "end bridge deliver failed",
    ]);
  });

  it("ends the span of telemetry that finds no room", () => {
    const recorder = new Recorder();
    const deliveries = deliveriesWith(recorder, { heldBytes: 10 });
    const batch = batches(Lane.TELEMETRY);
    deliveries.offer(batch(["", ""]));
    deliveries.offer(batch([TRACEPARENT]));
    expect(recorder.lines.slice(1)).toEqual(["myelin.drop.reason=queue_full", "end bridge deliver failed"]);
  });
});

describe("a published message", () => {
  it("goes on with the app's trace when that is accepted, and without it when not", () => {
    const recorder = new Recorder();
    const extras = { traceparent: TRACEPARENT, schemaVersion: 3 };
    expect(tracedPublish(recorder, "a", channel, extras)).toEqual({ ...extras, traceparent: "span-1" });
    expect(recorder.lines).toEqual(["begin bridge publish under listener", "end bridge publish"]);
    recorder.accept = false;
    expect(tracedPublish(recorder, "a", channel, extras)).toEqual({ schemaVersion: 3 });
  });

  it("begins a trace when it is sampled, and is left as it is when not", () => {
    const recorder = new Recorder();
    expect(tracedPublish(recorder, "a", channel, undefined)).toBeUndefined();
    recorder.sample = true;
    expect(tracedPublish(recorder, "a", channel, undefined)).toEqual({ traceparent: "span-1" });
  });
});
