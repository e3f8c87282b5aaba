import { Protocol } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { Connection, type ConnectionScope } from "./connection.js";
import { ConnectionManager } from "./connection-manager.js";
import { DEFAULT_CONNECTION_LIMITS, DEFAULT_GLOBAL_LIMITS } from "./limits.js";

const CHUNK = 64 * 1024;
/** Chunks that one turn has room for. */
const PER_TURN = 16;

class Sender extends Connection {
  reading = true;
  /** Bytes that were worked off. */
  taken = 0;
  private kept: number[] = [];

  disconnect(): void {
    this.scope.manager.remove(this, "client");
  }

  sends(bytes: number): void {
    if (this.scope.manager.mustHold(this, bytes)) this.kept.push(bytes);
    else this.take(bytes);
  }

  protected pauseReading(): void {
    this.reading = false;
  }

  protected resumeReading(): void {
    for (const bytes of this.kept.splice(0)) this.take(bytes);
    this.reading = this.held === 0;
  }

  private take(bytes: number): void {
    this.taken += bytes;
    this.scope.manager.turns.took(this, bytes);
  }
}

function rig(count: number, global: Partial<typeof DEFAULT_GLOBAL_LIMITS> = {}) {
  const state = { congested: false, delivered: 0 };
  const manager = new ConnectionManager(
    new FakeClock(),
    { ...DEFAULT_GLOBAL_LIMITS, ...global },
    () => state.congested,
    undefined,
    () => state.delivered,
  );
  const limits = DEFAULT_CONNECTION_LIMITS;
  const scope: ConnectionScope = { manager, protocol: Protocol.TCP, kind: "tcp", port: "p", limits };
  const senders = Array.from({ length: count }, () => {
    const sender = new Sender(scope, "10.0.0.1");
    manager.add(sender);
    return sender;
  });
  const turn = async (): Promise<void> => {
    state.delivered += 1;
    await new Promise((resolve) => setImmediate(resolve));
  };
  /** Deliveries are seen at the end of a turn in which somebody has sent much. */
  const becomeBusy = async (): Promise<void> => {
    manager.turns.took(senders[0]!, CHUNK);
    await turn();
  };
  const reading = (): number => senders.filter((sender) => sender.reading).length;
  const taken = (): number => senders.reduce((sum, sender) => sum + sender.taken, 0) / CHUNK;
  return { state, manager, senders, turn, becomeBusy, reading, taken };
}

describe("senders of much, while messages are delivered", () => {
  it("are worked off as far as a turn has room, and the rest in the turns that follow, whoever waits longest first", async () => {
    const { senders, turn, becomeBusy, reading, taken } = rig(40);
    await becomeBusy();
    for (const sender of senders) sender.sends(CHUNK);
    expect([taken(), reading()]).toEqual([PER_TURN, PER_TURN - 1]);
    await turn();
    expect(taken()).toBe(2 * PER_TURN - 1);
    expect(senders.slice(2 * PER_TURN).map((sender) => sender.taken)).toEqual(Array(8).fill(0));
    await turn();
    expect(taken()).toBe(40);
    await turn();
    await turn();
    expect(reading()).toBe(40);
  });

  it("get a chunk each in turn while others wait, so that the first ones have no advantage", async () => {
    const { senders, turn, becomeBusy } = rig(PER_TURN * 2);
    await becomeBusy();
    for (let i = 0; i < 60; i++) {
      for (const sender of senders) if (sender.reading) sender.sends(CHUNK);
      await turn();
    }
    const shares = senders.map((sender) => sender.taken);
    expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(4 * CHUNK);
    expect(Math.min(...shares)).toBeGreaterThan(10 * CHUNK);
  });

  it("do not stop those who send little", async () => {
    const { senders, becomeBusy } = rig(40);
    await becomeBusy();
    for (const sender of senders) sender.sends(CHUNK);
    const [little] = senders;
    little!.sends(100);
    expect([little!.taken, little!.reading]).toEqual([CHUNK + 100, true]);
  });

  it("are forgotten when they go", async () => {
    const { senders, turn, becomeBusy, taken } = rig(PER_TURN + 1);
    await becomeBusy();
    for (const sender of senders) sender.sends(CHUNK);
    senders.at(-1)!.disconnect();
    await turn();
    await turn();
    expect(taken()).toBe(PER_TURN);
  });
});

describe("senders of much, while nothing is delivered", () => {
  it("have the turn for themselves", () => {
    const { senders, reading, taken } = rig(40);
    for (const sender of senders) sender.sends(CHUNK);
    expect([taken(), reading()]).toEqual([40, 40]);
  });

  it("do so again when subscribers have gone", async () => {
    const { manager, senders, becomeBusy, reading } = rig(40);
    await becomeBusy();
    for (let i = 0; i < 20; i++) {
      manager.turns.took(senders[0]!, CHUNK);
      await new Promise((resolve) => setImmediate(resolve));
    }
    for (const sender of senders) sender.sends(CHUNK);
    expect(reading()).toBe(40);
  });

  it("are stopped by congestion also where nothing more of them can be kept, after the chunk at hand", () => {
    const { state, senders, reading, taken } = rig(3, { maxHeldBytes: CHUNK });
    state.congested = true;
    for (const sender of senders) sender.sends(CHUNK);
    expect([taken(), reading()]).toEqual([2, 0]);
  });
});

describe("the end of congestion", () => {
  it("lets those who wait with much go on in turns, and those with little at once", async () => {
    const { state, manager, senders, turn, becomeBusy, taken } = rig(PER_TURN * 2);
    await becomeBusy();
    state.congested = true;
    const [little, ...large] = senders;
    little!.sends(100);
    for (const sender of large) sender.sends(CHUNK);
    await turn();
    expect(taken()).toBe(0);
    state.congested = false;
    manager.congestionEnded();
    expect(little!.taken).toBe(100);
    await turn();
    expect(Math.floor(taken())).toBe(PER_TURN);
  });

  it("that is none, since the first ones fill the bus again, keeps the others waiting", async () => {
    const { state, manager, senders, turn, taken } = rig(4);
    state.congested = true;
    for (const sender of senders) sender.sends(CHUNK);
    state.congested = false;
    manager.congestionEnded();
    state.congested = true;
    await turn();
    expect(taken()).toBe(0);
    state.congested = false;
    manager.congestionEnded();
    await turn();
    expect(taken()).toBe(4);
  });
});
