import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { AppError } from "@myelin/kernel";
import { expect, it } from "vitest";
import { silentLogger } from "../log/logger.js";
import { tryParseTraceparent } from "./traceparent.js";
import { Tracing } from "./tracing.js";

interface OtlpSpan {
  readonly name: string;
  readonly traceId: string;
  readonly parentSpanId?: string;
  readonly spanId: string;
  readonly startTimeUnixNano: string;
  readonly status: { readonly code?: number };
}

async function startCollector() {
  const spans: OtlpSpan[] = [];
  const server = createServer(async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body = JSON.parse(Buffer.concat(chunks).toString());
    for (const resource of body.resourceSpans) {
      for (const scope of resource.scopeSpans) spans.push(...scope.spans);
    }
    response.setHeader("content-type", "application/json").end("{}");
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    spans,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

it("sends the spans of two hops as one trace to an OTLP receiver", async () => {
  await using collector = await startCollector();
  const options = { ratio: 1, otlpEndpoint: collector.url, log: silentLogger };
  const listener = new Tracing({ ...options, service: "listener", instance: "listener-0" });
  const dispatcher = new Tracing({ ...options, service: "dispatcher", instance: "core" });
  await Promise.all([listener.start(), dispatcher.start()]);

  expect(listener.sampleIngress()).toBe(true);
  const receive = listener.startSpan("listener receive", { startUs: 1_767_225_600_000_123 });
  receive.end();
  const route = dispatcher.startSpan("dispatcher route", { parent: receive.traceparent });
  route.end({ error: new AppError("route.not_found", "no route") });
  await Promise.all([listener.stop(), dispatcher.stop()]);

  const [first, second] = ["listener receive", "dispatcher route"].map((name) =>
    collector.spans.find((span) => span.name === name),
  );
  expect(first?.traceId).toBe(tryParseTraceparent(receive.traceparent)?.traceId);
  expect(first?.startTimeUnixNano).toBe("1767225600000123000");
  expect(second).toMatchObject({ traceId: first?.traceId, parentSpanId: first?.spanId, status: { code: 2 } });
});
