/** A listener on a real nats-server, and what came out of it at the other end. */

import { readFileSync } from "node:fs";
import {
  type Bus,
  createBus,
  createEventSender,
  createTelemetrySender,
  type EnsureStreamsOptions,
  ensureStreams,
} from "@myelin/bus";
import { checkValue, Secret } from "@myelin/config";
import { type app, BatchView, control, envelope, subjects } from "@myelin/contract";
import { systemClock } from "@myelin/kernel";
import { MetricsRegistry, silentLogger } from "@myelin/observability";
import { type NatsServer, startNats, waitFor } from "@myelin/testkit";
import { createListener, type Listener, listenerSchema } from "../src/index.js";

export const PARTITIONS = 2;

/** One message as the dispatcher would see it. */
export interface Seen extends Omit<envelope.Envelope, "payload"> {
  readonly lane: "telemetry" | "event";
  readonly text: string;
}

/** A listener with the ports of `protocols`, all on free ports of loopback. */
export interface Rig extends AsyncDisposable {
  readonly listener: Listener;
  readonly bus: Bus;
  readonly nats: NatsServer;
  /** Everything that left, in order of arrival. */
  readonly seen: Seen[];
  port(name: string): number;
  /** The malformed input counted for a protocol and reason. */
  malformed(protocol: string, reason: string): Promise<number>;
  /** The value of the first series that begins so; 0 where there is none. */
  metric(series: string): Promise<number>;
  /** The refused connects and requests counted for a protocol and code. */
  refused(protocol: string, code: string): Promise<number>;
  /** Waits until `count` messages of the path have come. */
  messages(path: string, count: number): Promise<Seen[]>;
  /** As the owner of all partitions: hands downlink requests to this listener. */
  serveDownlinks(): void;
}

const MIB = 1024 * 1024;
const SMALL = { maxBytes: 64 * MIB };

/** @param protocols by kind, then by port name, as in the configuration */
export async function startRig(
  protocols: Record<string, Record<string, object>>,
  options: {
    readonly nats?: NatsServer;
    readonly instance?: string;
    readonly admission?: object;
    readonly settings?: object;
    /** Other sizes than the small ones streams have here. */
    readonly streams?: EnsureStreamsOptions["streams"];
  } = {},
): Promise<Rig> {
  const nats = options.nats ?? (await startNats());
  const bus = createBus({
    servers: [nats.url],
    instance: options.instance ?? "listener-0",
    service: "listener",
    logger: silentLogger,
  });
  await bus.start(AbortSignal.timeout(10_000));
  const streams = {
    events: SMALL,
    unrouted: SMALL,
    overflow: SMALL,
    dedupe: SMALL,
    sessions: SMALL,
    retained: SMALL,
    ...options.streams,
  };
  await ensureStreams(bus, { partitions: PARTITIONS, streams });
  const seen: Seen[] = [];
  for (let p = 0; p < PARTITIONS; p++) {
    bus.subscribe(subjects.telemetryBatch(p), (data) => collect(seen, "telemetry", data));
    bus.subscribe(subjects.eventBatch(p), (data) => collect(seen, "event", data));
  }
  const local = Object.fromEntries(
    Object.entries(protocols).map(([kind, ports]) => [
      kind,
      Object.fromEntries(
        Object.entries(ports).map(([name, port]) => [name, { host: "127.0.0.1", port: 0, ...port }]),
      ),
    ]),
  );
  const { value, problems } = checkValue(await listenerSchema(), {
    protocols: local,
    onStartError: "fail",
    ...options.settings,
    ...(options.admission !== undefined && { admission: options.admission }),
  });
  if (problems.length > 0) throw new Error(JSON.stringify(problems));
  const metrics = new MetricsRegistry();
  const listener = await createListener(withSecrets(value) as never, {
    bus,
    telemetry: createTelemetrySender(bus, { partitions: PARTITIONS }),
    events: createEventSender(bus, { partitions: PARTITIONS }),
    partitions: PARTITIONS,
    log: silentLogger,
    clock: systemClock,
    version: "0.0.0",
    metrics,
  });
  try {
    await listener.start(AbortSignal.timeout(20_000));
  } catch (error) {
    await bus.stop();
    throw error;
  }
  const counted = async (series: string): Promise<number> => {
    const line = (await metrics.text()).split("\n").find((text) => text.startsWith(series));
    return Number(line?.split(" ").at(-1) ?? 0);
  };
  const of = (path: string): Seen[] => seen.filter((message) => message.path === path);
  return {
    listener,
    bus,
    nats,
    seen,
    metric: counted,
    malformed: (protocol, reason) =>
      counted(`myelin_listener_malformed_total{protocol="${protocol}",reason="${reason}"`),
    refused: (protocol, code) =>
      counted(`myelin_listener_connects_refused_total{protocol="${protocol}",code="${code}"`),
    port: (name) => listener.ports.get(name)!.bound!.port,
    async messages(path, count) {
      await waitFor(() => of(path).length >= count, { what: `${count} messages of ${path}` });
      return of(path);
    },
    serveDownlinks() {
      for (let p = 0; p < PARTITIONS; p++) {
        bus.serve(subjects.downlink(p), (data) =>
          bus.request(subjects.listenerDownlink(bus.instance), data, 10_000),
        );
      }
    },
    async [Symbol.asyncDispose]() {
      await listener.stop();
      await bus.stop();
      if (options.nats === undefined) await nats[Symbol.asyncDispose]();
    },
  };
}

/** References to files become what the files hold, as loading a configuration does. */
function withSecrets(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map(withSecrets);
  if ("fromFile" in value) {
    const file = String(value.fromFile);
    return new Secret(readFileSync(file, "utf8"), "a test", file);
  }
  return Object.fromEntries(Object.entries(value).map(([key, of]) => [key, withSecrets(of)]));
}

function collect(seen: Seen[], lane: Seen["lane"], data: Uint8Array): void {
  const view = new BatchView();
  view.reset(data);
  while (view.next()) {
    const { payload, ...rest } = envelope.Envelope.decode(view.envelopeBytes());
    seen.push({ ...rest, ...view.head(), lane, text: Buffer.from(payload).toString() });
  }
}

/** Sends a message to a device the way an application's does. */
export async function downlink(
  rig: Rig,
  deviceId: string,
  message: { path: string; payload: string; wait?: boolean; timeoutMs?: number },
): Promise<{ state: app.SendState; code: string | undefined }> {
  const request = control.DownlinkRequest.encode(
    control.DownlinkRequest.fromPartial({
      deviceId,
      path: message.path,
      payload: Buffer.from(message.payload),
      waitForDevice: message.wait ?? false,
      timeoutMs: message.timeoutMs ?? 5_000,
    }),
  ).finish();
  const answer = await rig.bus.request(subjects.listenerDownlink(rig.bus.instance), request, 10_000);
  const { state, error } = control.DownlinkResult.decode(answer);
  return { state, code: error?.code };
}
