/** The system under test: a nats-server, a dispatcher, and two listeners with a TCP and a WebSocket port each. */
import { writeFile } from "node:fs/promises";
import { createBus, type EnsureStreamsOptions } from "@myelin/bus";
import { checkValue } from "@myelin/config";
import { createDispatcher, type DispatcherConfig, dispatcherSchema } from "@myelin/dispatcher";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { startNats, tempDir, waitFor } from "@myelin/testkit";
import { hashPassword } from "../src/core/password.js";
import { scramVerifier } from "../src/core/scram.js";
import { PARTITIONS, type Rig, startRig } from "../test/listener-rig.js";
import type { Transport } from "./packet-client.js";

/** The one user that has a password; below `forbidden/` it may do nothing. */
export const USER = { name: "ann", password: "secret" } as const;

/** Everything runs until it is disposed of. */
export interface Ground extends AsyncDisposable {
  port(listener: 0 | 1, transport: Transport): number;
  /** Where its HTTP API begins. */
  api(listener: 0 | 1): string;
  /** A value on its page of metrics, see `Rig.metric`. */
  metric(listener: 0 | 1, series: string): Promise<number>;
}

/** What is not as it is by default. */
export interface GroundOptions {
  /** Settings of the dispatcher. */
  readonly dispatcher?: object;
  readonly streams?: EnsureStreamsOptions["streams"];
}

const PORTS = { mqtt: { mqtt: {} }, websocket: { ws: {} }, http: { web: {} } };

export async function startGround({
  dispatcher: settings = {},
  streams,
}: GroundOptions = {}): Promise<Ground> {
  await using stack = new AsyncDisposableStack();
  const nats = stack.use(await startNats());
  const dir = stack.use(await tempDir("conformance"));
  const admission = await admissionIn(dir.path);
  const listener = async (instance: string): Promise<Rig> =>
    stack.use(await startRig(PORTS, { nats, instance, admission, ...(streams && { streams }) }));
  const rigs = [await listener("listener-0"), await listener("listener-1")] as const;
  const bus = createBus({
    servers: [nats.url],
    instance: "core",
    service: "dispatcher",
    logger: silentLogger,
  });
  await bus.start(AbortSignal.timeout(10_000));
  stack.defer(() => bus.stop());
  const dispatcher = await createDispatcher(
    checkValue(dispatcherSchema, settings).value as DispatcherConfig,
    {
      bus,
      partitions: PARTITIONS,
      log: silentLogger,
      clock: systemClock,
      version: "0.0.0",
      dataDir: dir.path,
      resourcesDir: dir.path,
    },
  );
  await dispatcher.start(AbortSignal.timeout(30_000));
  stack.defer(() => dispatcher.stop());
  await waitFor(() => dispatcher.core.partitions.size === PARTITIONS, {
    what: "the dispatcher to own all partitions",
    deadlineMs: 20_000,
  });
  const all = stack.move();
  return {
    port: (listener, transport) => rigs[listener].port(transport === "TCP" ? "mqtt" : "ws"),
    metric: (listener, series) => rigs[listener].metric(series),
    api: (listener) => `http://127.0.0.1:${rigs[listener].port("web")}/api/v1`,
    [Symbol.asyncDispose]: () => all.disposeAsync(),
  };
}

async function admissionIn(dir: string): Promise<object> {
  const usersFile = `${dir}/users.yaml`;
  const aclFile = `${dir}/acl.yaml`;
  const password = await hashPassword(Buffer.from(USER.password));
  const scram = await scramVerifier(USER.password);
  await writeFile(
    usersFile,
    `users:\n  - { name: ${USER.name}, password: "${password}", scram: "${scram}" }\n`,
  );
  await writeFile(
    aclFile,
    `rules:\n  - { effect: deny, users: [${USER.name}], topics: ["forbidden/#"] }\n  - { effect: allow, users: [${USER.name}] }\n`,
  );
  return { "static-file": { usersFile, aclFile } };
}
