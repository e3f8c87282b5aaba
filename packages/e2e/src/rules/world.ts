/** A device that speaks MQTT, a program that is posted to, and an application that is called: what rules of a box act on. */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { IpcClient } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { connectAsync, type MqttClient } from "mqtt";
import type { Box } from "../support/index.js";

const DEADLINE_MS = 60_000;

/** Registers the device under its profile, connects it, and lets it do at once as it is told. */
export async function startDevice(box: Box, id: string, profile: string): Promise<Device> {
  await waitFor(
    async () => {
      const answer = await fetch(`${box.httpUrl}/devices/${id}`, {
        method: "PUT",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ profile }),
      }).catch(() => undefined);
      return answer?.ok;
    },
    { what: `the registry to take ${id}`, deadlineMs: DEADLINE_MS },
  );
  const client = await connectAsync(`mqtt://127.0.0.1:${box.ports.mqtt}`, {
    clientId: id,
    reconnectPeriod: 100,
  });
  const device = new Device(client);
  await client.subscribeAsync(`$aws/commands/things/${id}/executions/+/request/json`, { qos: 1 });
  return device;
}

export class Device implements AsyncDisposable {
  /** Names of the commands that it was given. */
  readonly commands: string[] = [];

  constructor(readonly client: MqttClient) {
    client.on("message", (topic, payload) => {
      this.commands.push(payload.toString());
      client.publish(topic.replace("/request/", "/response/"), '{"status":"SUCCEEDED"}', { qos: 1 });
    });
  }

  /** Resolves when the box has stored it. */
  async say(topic: string, payload: object): Promise<void> {
    await this.client.publishAsync(topic, JSON.stringify(payload), { qos: 1 });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.endAsync(true);
  }
}

/** Topics and payloads of what others publish, as an MQTT subscriber gets them. */
export async function listen(
  box: Box,
  filter: string,
): Promise<AsyncDisposable & { readonly topics: string[] }> {
  const client = await connectAsync(`mqtt://127.0.0.1:${box.ports.mqtt}`, {
    clientId: "listener-of-rules",
    reconnectPeriod: 100,
  });
  const topics: string[] = [];
  client.on("message", (topic) => topics.push(topic));
  await client.subscribeAsync(filter, { qos: 1 });
  return { topics, [Symbol.asyncDispose]: () => client.endAsync(true) };
}

/** What was posted; answers nothing at all while `isMute`. */
export interface Hook extends AsyncDisposable {
  readonly url: string;
  readonly posts: { readonly id: string; readonly body: Readonly<Record<string, unknown>> }[];
  isMute: boolean;
}

export async function startHook(): Promise<Hook> {
  const posts: Hook["posts"] = [];
  const server = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => {
      text += String(chunk);
    });
    request.on("end", () => {
      posts.push({
        id: String(request.headers["webhook-id"]),
        body: JSON.parse(text) as Hook["posts"][0]["body"],
      });
      if (!hook.isMute) response.writeHead(204).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  const hook: Hook = {
    url: `http://127.0.0.1:${port}/`,
    posts,
    isMute: false,
    [Symbol.asyncDispose]: () =>
      new Promise<void>((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
  return hook;
}

/** An application with a method, and what it was called with. */
export async function startCalled(
  box: Box,
  app: string,
  method: string,
): Promise<AsyncDisposable & { readonly calls: Readonly<Record<string, unknown>>[] }> {
  const calls: Readonly<Record<string, unknown>>[] = [];
  const client = new IpcClient({ app, target: `127.0.0.1:${box.ports.grpc}` });
  client.serve(method, (request) => {
    calls.push(request.json() as Readonly<Record<string, unknown>>);
    return { ok: true };
  });
  await client.start();
  return { calls, [Symbol.asyncDispose]: () => client.stop() };
}

/** An alarm, as `myelin alarms list --json` tells it. */
export interface ToldAlarm {
  readonly device: string;
  readonly rule: string;
  readonly state: string;
  readonly count: number;
  readonly raisedAt: string;
}

/** Empty also while nobody can be asked. */
export async function alarmsOf(box: Box): Promise<readonly ToldAlarm[]> {
  const { code, stdout } = await box.myelin("alarms", "list", "--json");
  return code === 0 ? (JSON.parse(stdout) as { readonly alarms: readonly ToldAlarm[] }).alarms : [];
}
