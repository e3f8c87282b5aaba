import { readFileSync } from "node:fs";
import { Lane } from "@myelin/contract";
import { IpcClient, type IpcClientOptions } from "@myelin/sdk-node";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { startWorld, type World } from "./harness.js";

const README = new URL("../../../packages/sdk-node/README.md", import.meta.url);

/** The JavaScript blocks of the README, with the one import that they have taken out. */
function examples(): string[] {
  const blocks = [...readFileSync(README, "utf8").matchAll(/```js\n(.*?)```/gs)].map(([, code]) => code!);
  return blocks.map((code) => {
    const rest = code.replace('import { IpcClient } from "@myelin/sdk-node";\n', "");
    expect(rest).not.toBe(code);
    return rest;
  });
}

interface Run {
  readonly lines: string[];
  readonly clients: IpcClient[];
  readonly ended: Promise<unknown>;
}

/** Runs an example against the world's bridge, with a console that keeps what it prints. */
function run(code: string, world: World): Run {
  const lines: string[] = [];
  const clients: IpcClient[] = [];
  class Here extends IpcClient {
    constructor(options: IpcClientOptions) {
      super({ ...options, target: world.target("socket"), stopTimeoutMs: 300 });
      clients.push(this);
    }
  }
  const print = (...words: unknown[]): void => void lines.push(words.map((w) => JSON.stringify(w)).join(" "));
  const AsyncFunction = (async () => undefined).constructor as new (
    ...a: string[]
  ) => (...a: unknown[]) => Promise<unknown>;
  const ended = new AsyncFunction("IpcClient", "console", code)(Here, { log: print, error: print });
  return { lines, clients, ended };
}

it("every example of the SDK's README runs as it stands there", async () => {
  await using world = await startWorld();
  const [ten, callback, batch, iterator, publish, change, ...rest] = examples().map((code) =>
    run(code, world),
  );
  expect(rest).toEqual([]);
  const send = async (app: string, payload: string, lane: Lane = Lane.EVENT): Promise<string> => {
    const [instance] = await world.owner.waitFor(app);
    world.owner.deliver({ app, instance: instance!.instance, lane, payloads: [payload] });
    await world.owner.waitForAck(instance!.instance, 1, 0, lane);
    return instance!.instance;
  };
  await send("climate", '{"t":21}');
  await send("archive", "x");
  expect(callback!.lines[0]).toContain('"d1" "devices/d1/reading" "telemetry" "event" "mqtt"');
  await send("counter", "abc");
  await world.owner.waitFor("watcher");
  world.owner.deliver({
    app: "watcher",
    instance: world.owner.instances("watcher")[0]!.instance,
    payloads: ["stop"],
  });
  await iterator!.ended;
  expect(iterator!.lines).toEqual(['"d1" "stop"']);
  await publish!.ended;
  expect(publish!.lines[0]).toBe('{"acknowledged":4711,"by":"alarms"}');
  expect(publish!.lines[2]).toBe('"partition.not_owned"');
  await waitFor(() => world.owner.telemetry.some((e) => e.path === "derived/mean"), {
    what: "the published telemetry",
  });
  await change!.ended;
  expect(change!.clients[0]!.state).toBe("stopped");
  for (const example of [ten!, callback!, batch!, publish!]) {
    await example.ended;
    for (const client of example.clients) await client.stop();
  }
});
