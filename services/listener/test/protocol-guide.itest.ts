/** Runs the protocol that the guide "Add a protocol" builds, as its reader would have it. */
import { once } from "node:events";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { control, subjects } from "@myelin/contract";
import { expect, it } from "vitest";
import type { ProtocolRegistry } from "../src/core/protocol.js";
import { protocols } from "../src/protocols/registry.js";
import { startRig } from "./listener-rig.js";

const GUIDE = new URL("../../../docs/how-to/add-a-protocol.md", import.meta.url);
/** Neither in git nor among the sources that other tests look at. */
const FOLDER = new URL("../dist/guide/", import.meta.url);
const CODE = /^`services\/listener\/src\/protocols\/(greet\/[\w.-]+)`\n\n```ts\n([\s\S]*?)^```/gm;
const ANSWER_MS = 5_000;

/** Writes the guide's files; resolves with the registry's line for them. */
function writeGuide(): ProtocolRegistry[string] {
  rmSync(FOLDER, { recursive: true, force: true });
  for (const [, path = "", code = ""] of readFileSync(GUIDE, "utf8").matchAll(CODE)) {
    const file = new URL(path, FOLDER);
    mkdirSync(dirname(fileURLToPath(file)), { recursive: true });
    writeFileSync(file, code.replaceAll('"../../core/', '"../../../src/core/'));
  }
  return () => import(new URL("greet/index.ts", FOLDER).href);
}

it("the protocol of the guide stores readings, answers, refuses garbage and reaches the device", async () => {
  (protocols as ProtocolRegistry).greet = writeGuide();
  const none = Object.fromEntries(Object.keys(protocols).map((kind) => [kind, {}]));
  await using rig = await startRig({ ...none, greet: { greet: {} } });
  const socket = connect(rig.port("greet"), "127.0.0.1");
  const hear = async (): Promise<string> =>
    String(((await once(socket, "data", { signal: AbortSignal.timeout(ANSWER_MS) })) as [Buffer])[0]);

  socket.write('I AM boiler-1\nreadings/temp {"t":21.5}\n');
  expect(await hear()).toBe("ok\n");
  const [message] = await rig.messages("readings/temp", 1);
  expect(message).toMatchObject({ text: '{"t":21.5}', lane: "event" });

  const heard = hear();
  const payload = Buffer.from("hello");
  const request = { deviceId: "boiler-1", path: "display/text", payload, timeoutMs: ANSWER_MS };
  const answer = await rig.bus.request(
    subjects.listenerDownlink("listener-0"),
    control.DownlinkRequest.encode(control.DownlinkRequest.fromPartial(request)).finish(),
    ANSWER_MS,
  );
  expect(control.DownlinkResult.decode(answer).error).toBeUndefined();
  expect(await heard).toBe("> display/text hello\n");

  const stranger = connect(rig.port("greet"), "127.0.0.1", () => stranger.write("HELLO?\n"));
  const [refusal] = (await once(stranger, "data", { signal: AbortSignal.timeout(ANSWER_MS) })) as [Buffer];
  expect(String(refusal)).toBe("error protocol.malformed\n");
  socket.write("readings/temp 22\n");
  expect(await hear()).toBe("ok\n");
  socket.destroy();
  stranger.destroy();
});
