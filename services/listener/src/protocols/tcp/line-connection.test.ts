import { checkValue } from "@myelin/config";
import { Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { mqttRig, TestStream } from "../../../test/mqtt-rig.js";
import type { ConnectVerdict } from "../../core/admission.js";
import type { ConnectionScope } from "../../core/connection.js";
import { DEFAULT_CONNECTION_LIMITS } from "../../core/limits.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { schema } from "./config.js";
import { LineConnection, LineShared } from "./line-connection.js";

function lineRig(settings: object = {}) {
  const rig = mqttRig();
  const { admission, manager, ingress, metrics } = rig;
  const { value } = checkValue(schema, { framing: "lines", ack: "on", lane: "telemetry", ...settings });
  const ctx = { log: silentLogger, admission, ingress, metrics } as unknown as ProtocolContext;
  const scope: ConnectionScope = {
    manager,
    protocol: Protocol.TCP,
    kind: "tcp",
    port: "lines",
    limits: DEFAULT_CONNECTION_LIMITS,
  };
  const stream = new TestStream();
  const connection = new LineConnection(new LineShared(ctx, scope, value!), stream, "127.0.0.1");
  manager.add(connection);
  const send = (text: string): void => connection.onData(Buffer.from(text));
  const heard = (): string => stream.written.toString();
  const taken = (): string[] => rig.telemetry.taken.map(({ deviceId, text }) => `${deviceId} ${text}`);
  return { ...rig, stream, connection, send, heard, taken };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const identityOf = (deviceId: string) => ({ tenant: "", deviceId, user: "" });

describe("lines whose admission takes its time", () => {
  it("keep their order, also behind a device that must be asked for itself", async () => {
    const rig = lineRig();
    const asked: (() => void)[] = [];
    rig.admission.answer = ({ deviceId }) =>
      new Promise<ConnectVerdict>((resolve) => {
        asked.push(() => resolve({ allow: true, identity: identityOf(deviceId) }));
      });
    rig.send("a t 1\na t 2\nb t 3\na t 4\n");
    expect([rig.taken(), rig.stream.paused, asked.length]).toEqual([[], true, 1]);
    asked[0]!();
    await turn();
    expect([rig.taken(), rig.stream.paused, asked.length]).toEqual([["a 1", "a 2"], true, 2]);
    expect(rig.heard()).toBe("ok\nok\n");
    asked[1]!();
    await turn();
    expect([rig.taken(), rig.stream.paused]).toEqual([["a 1", "a 2", "b 3", "a 4"], false]);
    expect(rig.heard()).toBe("ok\nok\nok\nok\n");
  });

  it.each([
    ["fails", () => Promise.reject(new AppError("internal.unexpected", "no answer"))],
    [
      "lets in a device whose line cannot be taken",
      (rig: ReturnType<typeof lineRig>) => {
        rig.ingress.channelFor = () => {
          throw new Error("no place");
        };
        return Promise.resolve({ allow: true, identity: identityOf("a") } as const);
      },
    ],
  ])("end their connection and nothing else when it %s", async (_, admit) => {
    const rig = lineRig();
    rig.admission.answer = () => admit(rig);
    rig.send("a t 1\n");
    await turn();
    expect(rig.stream.ended).toBe(true);
    rig.connection.onClosed();
    expect(rig.manager.counters.disconnects.tcp).toEqual({ internal: 1 });
  });
});

it("a line that cannot be taken ends its connection and nothing else", () => {
  const rig = lineRig();
  rig.ingress.channelFor = () => {
    throw new Error("no place");
  };
  expect(() => rig.send("a t 1\n")).not.toThrow();
  expect(rig.stream.ended).toBe(true);
});

it("empty lines cost no memory, also while an answer is due", () => {
  const rig = lineRig({ lane: "event" });
  rig.send("a t 1\n");
  for (let i = 0; i < 100; i++) rig.send("\n".repeat(10_000));
  rig.send("a t 2\nno\n");
  // As it would be if too many lines waited for their answers.
  expect(rig.stream.paused).toBe(false);
  rig.events.settle();
  rig.send(" \na t 3\n");
  rig.events.settle();
  expect(rig.heard()).toBe("ok\nok\nerror protocol.malformed\nok\n");
});

describe("lines that are kept when their connection ends", () => {
  it("are taken, the last one without its end too", () => {
    const rig = lineRig();
    rig.send("a t 0\n");
    rig.telemetry.setCongested(true);
    rig.send("a t 1\na t 2\na t");
    rig.send(" 3");
    expect(rig.taken()).toEqual(["a 0"]);
    rig.connection.onClosed();
    expect(rig.taken()).toEqual(["a 0", "a 1", "a 2", "a 3"]);
    expect(rig.manager.counters.lostBytes).toEqual({});
  });

  it.each([
    [
      "leaves before it is let in",
      (rig: ReturnType<typeof lineRig>) => rig.connection.onClosed(),
      "disconnected",
      3,
    ],
    ["is not let in", () => {}, "auth.bad_credentials", 3],
  ])("are booked as dropped when their client %s", async (_, leave, reason, count) => {
    const rig = lineRig();
    rig.admission.answer = () => Promise.resolve({ allow: false, code: "auth.bad_credentials" } as const);
    rig.send("a t 1\na t 2\nb t 3\n");
    leave(rig);
    await turn();
    expect([...rig.ingress.refusals[0]]).toEqual([[reason, count]]);
  });
});
