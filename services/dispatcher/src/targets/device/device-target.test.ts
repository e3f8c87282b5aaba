import {
  app,
  BatchBuilder,
  control,
  createChannel,
  EMPTY_HEAD,
  Lane,
  partitionOf,
  Stamp,
  subjects,
} from "@myelin/contract";
import { AppError, FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { Ledger } from "../../core/ledger.js";
import type { Share } from "../../core/share.js";
import type { TargetContext } from "../target.js";
import { deviceTarget } from "./device-target.js";

function setUp(answer: (text: string) => { code?: string; retryable?: boolean } | undefined) {
  const clock = new FakeClock();
  const asked: string[] = [];
  const events: unknown[] = [];
  const ports = {
    clock,
    log: silentLogger,
    partitions: 4,
    request: async (subject: string, data: Uint8Array) => {
      const request = control.DownlinkRequest.decode(data);
      const text = Buffer.from(request.payload).toString();
      asked.push(text);
      expect([subject, request.path]).toEqual([subjects.downlink(partitionOf("", "lamp", 4)), "set"]);
      const refusal = answer(text);
      const { code = "", retryable = true } = refusal ?? {};
      const error = { code, message: "no", retryable, detailsJson: "" };
      const result =
        refusal === undefined ? { state: app.SendState.WRITTEN } : { state: app.SendState.REFUSED, error };
      return control.DownlinkResult.encode(control.DownlinkResult.fromPartial(result)).finish();
    },
  };
  const target = deviceTarget.create({ id: "lamp", path: "set", ttl: 60_000 }, {
    ports,
  } as unknown as TargetContext);
  const outlet = target.openOutlet(
    { partition: 0, epoch: 1, lane: "event" },
    {
      ready: () => undefined,
      settled: (n) => events.push(`settled ${n}`),
      refused: (reason) => events.push(reason),
      leftOut: (what) => events.push(what),
      lost: () => undefined,
    },
  );
  const send = (texts: readonly string[]) => {
    const link = {
      sender: "l",
      incarnation: 1,
      partition: 0,
      lane: Lane.EVENT,
      target: "",
      targetInstance: "",
    };
    const stamp = new Stamp(Buffer.alloc(10));
    stamp.tick(clock.wallUs());
    const builder = new BatchBuilder(link, stamp);
    const channel = createChannel(1, { ...EMPTY_HEAD, deviceId: "sensor" }, 0);
    for (const text of texts) builder.append(channel, Buffer.from(text), 0, text.length);
    const account = new Ledger().account("fanout", "event");
    outlet.trySend({ data: builder.finish()!, sourceSequence: 1, account } as unknown as Share, false);
  };
  return { clock, asked, events, outlet, send };
}

describe("target device", () => {
  it("goes on where it was when the device comes back", async () => {
    let away = true;
    const { clock, asked, events, outlet, send } = setUp((text) =>
      text === "2" && away ? { code: "device.not_connected" } : undefined,
    );
    send(["1", "2", "3"]);
    await clock.advance(0);
    expect([asked, outlet.state]).toEqual([["1", "2"], "away"]);
    away = false;
    await clock.advance(30_000);
    expect(asked.at(-1)).toBe("3");
    expect(asked.filter((t) => t === "1")).toHaveLength(1);
    expect(events).toEqual([{ expired: 0, refused: 0 }, "settled 1"]);
  });

  it("leaves out what the device refuses for good, and what has become too old", async () => {
    const { clock, events, send } = setUp((text) => {
      if (text === "bad") return { code: "device.refused", retryable: false };
      return text === "late" ? { code: "device.not_connected" } : undefined;
    });
    send(["bad", "late", "late"]);
    await clock.advance(120_000);
    expect(events).toEqual([{ expired: 2, refused: 1 }, "settled 1"]);
    expect(AppError.fromWire({ code: "device.refused" }).retryable).toBe(false);
  });
});
