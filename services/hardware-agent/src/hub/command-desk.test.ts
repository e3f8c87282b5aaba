import type { Bus, EventSender } from "@myelin/bus";
import { app, type Channel, control } from "@myelin/contract";
import { createLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import type { ActuatedDevice } from "../actuation/actuated-device.js";
import type { CommandOrder } from "../actuation/actuator.js";
import type { CommandResult } from "../actuation/command-result.js";
import { CommandDesk } from "./command-desk.js";

const PATH = "$aws/commands/things/tank-1/executions/c7/request/json";
const EXPIRES = "2026-01-01T00:01:00.000Z";

async function deskOf(result: CommandResult) {
  let ask: (data: Uint8Array) => Uint8Array = () => new Uint8Array();
  const orders: CommandOrder[] = [];
  const answers: { path: string; body: unknown }[] = [];
  const desk = new CommandDesk({
    bus: {
      instance: "agent",
      serve: (_subject: string, handler: typeof ask) => {
        ask = handler;
        return () => undefined;
      },
    } as unknown as Bus,
    sender: {
      append: ({ head }: Channel, source: Uint8Array) =>
        void answers.push({ path: head.path, body: JSON.parse(Buffer.from(source).toString()) }),
    } as unknown as EventSender,
    partitions: 8,
    log: createLogger({ service: "s", instance: "i", write: () => undefined }),
    device: (id) => {
      const known = { id, profile: { commands: new Map() } } as unknown as ActuatedDevice;
      return id === "tank-1" ? known : undefined;
    },
    execute: async (order) => {
      orders.push(order);
      return result;
    },
  });
  await desk.start();
  const give = async (deviceId: string, path: string, payload: string) => {
    const request = control.DownlinkRequest.fromPartial({ deviceId, path, payload: Buffer.from(payload) });
    const { state, error } = control.DownlinkResult.decode(
      ask(control.DownlinkRequest.encode(request).finish()),
    );
    await new Promise(setImmediate);
    return state === app.SendState.ACKNOWLEDGED ? "acknowledged" : error?.code;
  };
  return { give, orders, answers };
}

const order = JSON.stringify({ id: "c7", command: "fill", expiresAt: EXPIRES, parameters: { to: 5 } });

describe("the desk for commands", () => {
  it("takes a command, and tells on its topic how it ended", async () => {
    const { give, orders, answers } = await deskOf({ state: "mismatch", expected: 5, value: 4 });
    expect(await give("tank-1", PATH, order)).toBe("acknowledged");
    expect(orders).toEqual([
      {
        key: "c7",
        command: "fill",
        parameters: { to: 5 },
        roles: [],
        replayed: false,
        expiresAtMs: Date.parse(EXPIRES),
      },
    ]);
    expect(answers).toEqual([
      {
        path: "$aws/commands/things/tank-1/executions/c7/response/json",
        body: {
          status: "FAILED",
          statusReason: { reasonCode: "MISMATCH", reasonDescription: "4 was read back instead of 5" },
        },
      },
    ]);
  });

  it.each([
    [{ state: "verified", value: 5 }, "SUCCEEDED"],
    [{ state: "executed" }, "SUCCEEDED"],
    [{ state: "rejected", reason: "read_only", message: "" }, "REJECTED"],
    [{ state: "expired" }, "REJECTED"],
    [{ state: "unknown", message: "" }, "FAILED"],
  ] satisfies readonly (readonly [CommandResult, string])[])("tells %o as %s", async (result, status) => {
    const { give, answers } = await deskOf(result);
    await give("tank-1", PATH, order);
    expect(answers[0]?.body).toMatchObject({ status });
  });

  it.each([
    ["tank-2", PATH, order, "device.not_connected"],
    ["tank-1", "display/text", "hello", "command.unsupported"],
    ["tank-1", PATH, "{", "command.invalid"],
    ["tank-1", PATH, '{"id":"c7","command":"fill"}', "command.invalid"],
  ])("refuses what is no command for a device of its own: %s %s %s", async (device, path, payload, code) => {
    const { give, orders, answers } = await deskOf({ state: "executed" });
    expect(await give(device, path, payload)).toBe(code);
    expect([orders, answers]).toEqual([[], []]);
  });
});
