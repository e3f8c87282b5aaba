import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { describe, expect, it } from "vitest";
import { MemoryBus, MemoryHub } from "../../../test/memory-bus.js";
import { ListenerMetrics } from "../metrics.js";
import { type McpSessionSettings, McpSessions } from "./mcp-sessions.js";

const SETTINGS = { resumeWindow: 300_000, maxSuspended: 100, maxMessages: 3, maxBytes: 100 };
const who = (deviceId: string) => ({ tenant: "", deviceId, user: "" });

async function sessionsOf(settings: Partial<McpSessionSettings> = {}) {
  const clock = new FakeClock();
  const metrics = new ListenerMetrics();
  const bus = new MemoryBus(new MemoryHub(), "listener-0");
  const sessions = new McpSessions(bus, clock, silentLogger, metrics, { ...SETTINGS, ...settings });
  await sessions.start();
  return { clock, metrics, sessions };
}

describe("the sessions of MCP devices", () => {
  it("are resumed until their time is over, and not after it", async () => {
    const { clock, metrics, sessions } = await sessionsOf();
    const [early, late] = [sessions.create(who("early")), sessions.create(who("late"))];
    const tokens = [early, late].map((session) => sessions.tokenOf(session));
    late.keep("m1", Buffer.from("never acknowledged"), undefined);
    sessions.suspend(early);
    sessions.suspend(late);
    await clock.advance(299_000);
    expect(sessions.resume(tokens[0]!, who("early"))).toBe(early);
    await clock.advance(2_000);
    expect(sessions.resume(tokens[1]!, who("late"))).toBeUndefined();
    expect(sessions.counters).toMatchObject({ resumedHere: 1, expired: 1, unknown: 1 });
    expect(metrics.undelivered.values.get("mcp,session_ended")).toBe(1);
    expect(sessions.size).toBe(1);
  });

  it("that come back and go again have their whole time anew", async () => {
    const { clock, sessions } = await sessionsOf();
    const session = sessions.create(who("d"));
    const token = sessions.tokenOf(session);
    sessions.suspend(session);
    await clock.advance(200_000);
    sessions.resume(token, who("d"));
    sessions.suspend(session);
    await clock.advance(200_000);
    expect(sessions.resume(token, who("d"))).toBe(session);
  });

  it("end with their connections where the window is 0", async () => {
    const { sessions } = await sessionsOf({ resumeWindow: 0 });
    const session = sessions.create(who("d"));
    sessions.suspend(session);
    expect([sessions.size, sessions.suspendedSize]).toEqual([0, 0]);
  });

  it("beyond the bound end in the order in which they lost their connections", async () => {
    const { sessions } = await sessionsOf({ maxSuspended: 2 });
    const all = ["a", "b", "c"].map((id) => sessions.create(who(id)));
    const tokens = all.map((session) => sessions.tokenOf(session));
    for (const i of [1, 0, 2]) sessions.suspend(all[i]!);
    expect(sessions.suspendedSize).toBe(2);
    expect(tokens.map((token, i) => sessions.resume(token, who("abc"[i]!)))).toEqual([
      all[0],
      undefined,
      all[2],
    ]);
  });

  it.each([
    ["messages", ["1", "2", "3"]],
    ["bytes", ["x".repeat(60), "y".repeat(40)]],
  ])("keep a bounded number of %s and take more once some are acknowledged", async (_, frames) => {
    const { sessions } = await sessionsOf();
    const session = sessions.create(who("d"));
    for (const [i, frame] of frames.entries()) session.keep(`${i}`, Buffer.from(frame), undefined);
    const oneMore = () => session.keep("more", Buffer.from("z"), undefined);
    expect(oneMore).toThrow(expect.objectContaining({ code: "queue.full" }));
    session.settle("0");
    oneMore();
    expect([...session.frames()].map(String)).toEqual([...frames.slice(1), "z"]);
  });
});
