import { app, decodeAppFrame, encodeAppFrame } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { expect, it } from "vitest";
import type { BridgeCore } from "./bridge-core.js";
import { AppSession } from "./session.js";
import { DEFAULT_SETTINGS } from "./settings.js";
import type { FrameStream } from "./stream.js";

type Frame = Parameters<typeof encodeAppFrame>[0];

/** A stream in memory, and a core whose parts are given by the test. */
function openSession(parts: object) {
  const sent: Frame[] = [];
  let toSession: (frame: Buffer) => void = () => undefined;
  const stream: FrameStream = {
    peer: "unix",
    bufferedBytes: 0,
    send: (bytes) => sent.push(decodeAppFrame(bytes)) > 0,
    onFrame: (callback) => {
      toSession = callback;
    },
    onDrain: () => undefined,
    onClose: () => undefined,
    pause: () => undefined,
    resume: () => undefined,
    close: () => undefined,
    destroy: () => undefined,
  };
  const core = {
    clock: new FakeClock(),
    log: silentLogger,
    settings: DEFAULT_SETTINGS,
    lanes: {},
    bus: { instance: "bridge-0" },
    admission: { admit: async () => undefined },
    bucketOf: () => undefined,
    reserve: () => undefined,
    sessionOpened: () => undefined,
    sessionChanged: () => undefined,
    sessionEnded: () => undefined,
    refused: () => undefined,
    ...parts,
  };
  const session = new AppSession(stream, core as unknown as BridgeCore);
  session.open();
  return { session, sent, say: (frame: Frame) => toSession(Buffer.from(encodeAppFrame(frame))) };
}

const hello: Frame = { $case: "hello", value: app.AppHello.create({ version: 1, app: "a" }) };
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const defect = (): never => {
  throw new Error("a defect");
};

it("a defect while an app is welcomed ends its session alone", async () => {
  const { session, sent, say } = openSession({ sessionOpened: defect });
  say(hello);
  await turn();
  expect(session.state).toBe("closed");
  expect(sent.at(-1)).toMatchObject({ $case: "error", value: { code: "internal.unexpected" } });
});

it.each([
  ["a request", { requests: { fromApp: async () => defect() } }, "request", app.Request.create({ id: 1 })],
  [
    "a message for a device",
    { downlinks: { send: async () => defect() } },
    "send",
    app.SendToDevice.create({ id: 1 }),
  ],
])("a defect behind %s ends its session alone", async (_what, parts, $case, value) => {
  const { session, sent, say } = openSession(parts);
  say(hello);
  await turn();
  expect(session.state).toBe("open");
  say({ $case, value } as Frame);
  await turn();
  expect(session.state).toBe("closed");
  expect(sent.at(-1)).toMatchObject({ $case: "error", value: { code: "internal.unexpected" } });
});
