import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import { startApp, startBox } from "../support/index.js";

interface Attribute {
  readonly key: string;
  readonly value: { readonly stringValue?: string; readonly intValue?: number };
}

/** One span, with the service that sent it. */
interface SpanSeen {
  readonly service: string;
  readonly name: string;
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly startTimeUnixNano: string;
  readonly endTimeUnixNano: string;
  readonly status: { readonly code?: number };
  readonly attributes: readonly Attribute[];
}

/** An OTLP/HTTP receiver that keeps what it gets. */
async function startReceiver() {
  const spans: SpanSeen[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    for (const { resource, scopeSpans } of JSON.parse(Buffer.concat(chunks).toString()).resourceSpans) {
      const service = attributeOf(resource.attributes, "service.name") ?? "";
      for (const scope of scopeSpans) {
        spans.push(...scope.spans.map((span: object) => ({ ...span, service }) as SpanSeen));
      }
    }
    response.setHeader("content-type", "application/json").end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    spans,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.close();
      server.closeAllConnections();
      await once(server, "close");
    },
  };
}

function attributeOf(attributes: readonly Attribute[], key: string): string | undefined {
  return attributes.find((attribute) => attribute.key === key)?.value.stringValue;
}

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const DEVICE_SPAN = "b7ad6b7169203331";

test("a device's trace goes on through listener, dispatcher and bridge to the app's acknowledgement", async () => {
  await using receiver = await startReceiver();
  await using box = await startBox({
    // A ratio of 0: what is traced here is traced because the device says so.
    env: { MYELIN_TRACING__OTLP_ENDPOINT: receiver.url, MYELIN_TRACING__RATIO: "0" },
  });
  await using app = await startApp(box, { app: "traced", filters: ["readings"], instance: "one" });

  const post = (headers: Record<string, string>): Promise<Response> =>
    fetch(`${box.httpUrl}/devices/boiler-1/messages/readings?lane=event`, {
      method: "POST",
      body: JSON.stringify({ n: headers.traceparent ?? "untraced" }),
      headers: { "content-type": "application/json", ...headers },
    });
  expect((await post({})).status).toBe(202);
  expect((await post({ traceparent: `00-${TRACE_ID}-${DEVICE_SPAN}-01` })).status).toBe(202);
  await app.receivedTexts(2);

  const names = ["listener receive", "dispatcher route", "bridge deliver", "app settle"];
  const [receive, route, deliver, settle] = await waitFor(
    () => {
      const found = names.map((name) => receiver.spans.find((span) => span.name === name));
      return found.every((span) => span !== undefined) && found;
    },
    // The exporter gathers spans for five seconds.
    { what: "the spans of four hops", deadlineMs: 20_000 },
  );
  expect(receiver.spans.map((span) => span.traceId)).toEqual(names.map(() => TRACE_ID));
  expect(receive?.parentSpanId).toBe(DEVICE_SPAN);
  expect(route?.parentSpanId).toBe(receive?.spanId);
  expect(deliver?.parentSpanId).toBe(receive?.spanId);
  expect(settle?.parentSpanId).toBe(deliver?.spanId);
  expect(settle?.status.code ?? 0).toBe(0);
  expect(BigInt(settle!.startTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(receive!.startTimeUnixNano));
  expect(BigInt(settle!.endTimeUnixNano)).toBeGreaterThanOrEqual(BigInt(settle!.startTimeUnixNano));
  expect(receive?.service).toMatch(/listener/);
  expect(attributeOf(receive!.attributes, "messaging.destination.name")).toBe("readings");
  expect(attributeOf(receive!.attributes, "myelin.device.id")).toBe("boiler-1");
  expect(attributeOf(settle!.attributes, "messaging.consumer.group.name")).toBe("traced");
  expect(attributeOf(settle!.attributes, "messaging.client.id")).toBe("one");
  for (const span of [receive, route, deliver, settle]) {
    expect(attributeOf(span!.attributes, "messaging.system")).toBe("myelin");
  }
});
