/** Five weather stations, one for each protocol a device may speak. */
import { McpClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { connectAsync } from "mqtt";
import type { BoxState } from "../support/box.js";
import type { Reading } from "./readings.js";

/** A connected station; `send` resolves when the platform has stored the reading. */
export interface Station {
  readonly device: string;
  readonly protocol: string;
  /** Readings that may be under way at a time. */
  readonly window: number;
  send(reading: Reading, signal: AbortSignal): Promise<void>;
  close(): Promise<unknown>;
}

const CONNECT_TIMEOUT_MS = 10_000;
const SEND_DEADLINE_MS = 30_000;
const WINDOW = 32;

/** Connects all five. Readings go to `path`. */
export async function connectStations(state: BoxState, path: string): Promise<Station[]> {
  const { ports } = state;
  return Promise.all([
    mqttStation(`mqtt://127.0.0.1:${ports.mqtt}`, path),
    httpStation(`http://127.0.0.1:${ports.http}`, path),
    mcpStation("websocket", `ws://127.0.0.1:${ports.http}/api/v1/devices/seattle-websocket/ws`, path),
    mcpStation("tcp", `tcp://127.0.0.1:${ports.mcpTcp}`, path),
    mcpStation("udp", `udp://127.0.0.1:${ports.mcpUdp}`, path),
  ]);
}

/** MQTT has no place for the time of a measurement: it travels in the payload, as it does for the others. */
async function mqttStation(url: string, path: string): Promise<Station> {
  const device = "seattle-mqtt";
  const client = await connectAsync(url, { clientId: device, protocolVersion: 5, reconnectPeriod: 500 });
  // A lost connection is told here too; the client comes back by itself and sends again.
  client.on("error", () => undefined);
  return {
    device,
    protocol: "mqtt",
    window: WINDOW,
    send: async (reading) => {
      await client.publishAsync(path, JSON.stringify(reading), {
        qos: 1,
        properties: { contentType: "application/json" },
      });
    },
    close: () => client.endAsync(true),
  };
}

async function httpStation(url: string, path: string): Promise<Station> {
  const device = "seattle-http";
  const target = `${url}/api/v1/devices/${device}/messages/${path}`;
  const post = async (reading: Reading, signal: AbortSignal): Promise<boolean> => {
    const answer = await fetch(target, {
      method: "POST",
      body: JSON.stringify(reading),
      headers: {
        "content-type": "application/json",
        "x-myelin-source-time": reading.date,
        // So that a reading that is posted again is taken once.
        "idempotency-key": `${path}/${reading.date}`,
      },
      signal: AbortSignal.any([signal, AbortSignal.timeout(CONNECT_TIMEOUT_MS)]),
    });
    await answer.arrayBuffer();
    return answer.status === 202;
  };
  return {
    device,
    protocol: "http",
    // Requests at the same time may overtake each other.
    window: 1,
    send: async (reading, signal) => {
      const what = `the reading of ${reading.date} to be taken over HTTP`;
      await waitFor(() => post(reading, signal), { what, deadlineMs: SEND_DEADLINE_MS, signal });
    },
    close: async () => undefined,
  };
}

async function mcpStation(protocol: string, url: string, path: string): Promise<Station> {
  const device = `seattle-${protocol}`;
  const client = new McpClient({ url, deviceId: device });
  await client.start(AbortSignal.timeout(CONNECT_TIMEOUT_MS));
  return {
    device,
    protocol,
    window: WINDOW,
    send: (reading) =>
      client.send(path, JSON.stringify(reading), {
        lane: "event",
        contentType: "application/json",
        sourceTimeUs: Date.parse(reading.date) * 1000,
      }),
    close: () => client.stop(),
  };
}

/**
 * Sends the readings in turn, `perSecond` of them (0: as fast as they are acknowledged), with at most a window under way.
 * Resolves when all are stored; rejects with the first refusal or the signal's reason.
 */
export async function replay(
  station: Station,
  readings: readonly Reading[],
  perSecond: number,
  signal: AbortSignal,
): Promise<void> {
  const begun = performance.now();
  let next = 0;
  const work = async (): Promise<void> => {
    while (next < readings.length) {
      signal.throwIfAborted();
      const index = next++;
      const dueMs = perSecond === 0 ? 0 : begun + (index * 1000) / perSecond - performance.now();
      if (dueMs > 1) await pause(dueMs, signal);
      await station.send(readings[index] as Reading, signal);
    }
  };
  await Promise.all(Array.from({ length: station.window }, work));
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      clearTimeout(timer);
      reject(signal.reason);
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", onAbort);
      resolve();
    }, ms);
    signal.addEventListener("abort", onAbort, { once: true });
  });
}
