import { Protocol } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { Connection, type ConnectionScope, type DisconnectReason, HOLD } from "./connection.js";
import { ConnectionManager } from "./connection-manager.js";
import { DeviceRates } from "./device-rates.js";
import { DisconnectLog } from "./disconnect-log.js";
import { type ConnectionLimits, DEFAULT_CONNECTION_LIMITS, DEFAULT_GLOBAL_LIMITS } from "./limits.js";

class Plain extends Connection {
  readonly said: string[] = [];
  reading = true;

  disconnect(reason: DisconnectReason): void {
    this.said.push(reason);
    this.scope.manager.remove(this, reason);
  }
  protected pauseReading(): void {
    this.reading = false;
  }
  protected resumeReading(): void {
    this.reading = true;
  }
}

class Pinged extends Plain {
  override ping(): void {
    this.said.push("ping");
  }
}

function rig(limits: Partial<ConnectionLimits> = {}, global: Partial<typeof DEFAULT_GLOBAL_LIMITS> = {}) {
  const clock = new FakeClock();
  const state = { congested: false };
  const manager = new ConnectionManager(
    clock,
    { ...DEFAULT_GLOBAL_LIMITS, ...global },
    () => state.congested,
  );
  manager.start();
  const scope: ConnectionScope = {
    manager,
    protocol: Protocol.TCP,
    kind: "tcp",
    port: "p",
    limits: { ...DEFAULT_CONNECTION_LIMITS, ...limits },
  };
  const open = (Kind: typeof Plain = Plain, address = "10.0.0.1"): Plain => {
    const connection = new Kind(scope, address);
    manager.add(connection);
    return connection;
  };
  const admit = (connection: Plain, deviceId = "d"): Plain => {
    connection.admitted({ tenant: "", deviceId, user: "" });
    return connection;
  };
  return { clock, manager, state, open, admit };
}

describe("heartbeat", () => {
  it("asks a silent client, and gives it up after two misses", async () => {
    const { clock, open, admit } = rig();
    const connection = admit(open(Pinged));
    await clock.advance(29_000);
    expect(connection.said).toEqual([]);
    await clock.advance(2_000);
    expect(connection.said).toEqual(["ping"]);
    await clock.advance(30_000);
    expect(connection.said).toEqual(["ping", "ping"]);
    await clock.advance(31_000);
    expect(connection.said).toEqual(["ping", "ping", "heartbeat"]);
  });

  it("leaves a client alone that is heard of", async () => {
    const { clock, open, admit } = rig();
    const connection = admit(open(Pinged));
    for (let i = 0; i < 10; i++) {
      await clock.advance(20_000);
      connection.seen();
    }
    expect(connection.said).toEqual([]);
    await clock.advance(31_000);
    connection.seen();
    await clock.advance(29_000);
    expect(connection.said).toEqual(["ping"]);
  });
});

describe("idle time", () => {
  it("ends a client that is silent for longer, and not one that is held by us", async () => {
    const { clock, open, admit } = rig({ idleMs: 60_000 });
    const idle = admit(open());
    const held = admit(open());
    held.hold(HOLD.congestion);
    await clock.advance(62_000);
    expect(idle.said).toEqual(["idle"]);
    expect(held.said).toEqual([]);
    held.release(HOLD.congestion);
    await clock.advance(62_000);
    expect(held.said).toEqual(["idle"]);
  });
});

describe("a client that does not read", () => {
  it("is given up after a minute", async () => {
    const { clock, open, admit } = rig();
    const slow = admit(open());
    slow.hold(HOLD.writing);
    await clock.advance(59_000);
    expect(slow.said).toEqual([]);
    await clock.advance(3_000);
    expect(slow.said).toEqual(["slow_client"]);
  });
});

describe("reasons to stop reading", () => {
  it("must all be gone before reading goes on", () => {
    const { open } = rig();
    const connection = open();
    connection.hold(HOLD.congestion);
    connection.hold(HOLD.rate);
    connection.release(HOLD.congestion);
    expect(connection.reading).toBe(false);
    connection.release(HOLD.rate);
    expect(connection.reading).toBe(true);
  });

  it("by congestion are bounded in the bytes that are kept", () => {
    const { state, manager, open } = rig({}, { maxHeldBytes: 100 });
    const [a, b] = [open(), open()];
    expect(manager.mustHold(a, 60)).toBe(false);
    state.congested = true;
    expect(manager.mustHold(a, 60)).toBe(true);
    expect(manager.mustHold(b, 60)).toBe(false);
    expect(manager.mustHold(b, 40)).toBe(true);
    manager.letGo(b, 40);
    expect([manager.mustHold(b, 41), manager.mustHold(b, 40)]).toEqual([false, true]);
    state.congested = false;
    manager.congestionEnded();
    expect([a.reading, b.reading]).toEqual([true, true]);
    state.congested = true;
    expect(manager.mustHold(b, 100)).toBe(true);
  });

  it("give back what was kept for a connection that ends meanwhile, and book it as lost", () => {
    const { state, manager, open } = rig({}, { maxHeldBytes: 100 });
    const [a, b] = [open(), open()];
    state.congested = true;
    expect([manager.mustHold(a, 60), manager.mustHold(b, 30), manager.mustHold(b, 60)]).toEqual([
      true,
      true,
      false,
    ]);
    manager.remove(a, "client");
    manager.letGo(a, 60);
    expect(manager.counters.lostBytes).toEqual({ tcp: 60 });
    expect([manager.mustHold(b, 71), manager.mustHold(b, 70)]).toEqual([false, true]);
    state.congested = false;
    manager.congestionEnded();
    manager.remove(b, "client");
    expect(manager.counters.lostBytes).toEqual({ tcp: 60 });
  });

  it("by rate let the connection go on when its tokens are back, without a timer left behind", async () => {
    const { clock, manager, open, admit } = rig({ rate: { perSecond: 10, burst: 5 } });
    const connection = admit(open());
    connection.spend(5);
    expect(connection.reading).toBe(true);
    connection.spend(5);
    expect(connection.reading).toBe(false);
    await clock.advance(500);
    expect(connection.reading).toBe(false);
    await clock.advance(200);
    expect(connection.reading).toBe(true);
    manager.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it("by rate last until the latest time that was set", async () => {
    const { clock, open, admit } = rig();
    const connection = admit(open());
    for (const ms of [10, 3_000, 100]) connection.slowDown(ms);
    await clock.advance(2_900);
    expect(connection.reading).toBe(false);
    await clock.advance(200);
    expect(connection.reading).toBe(true);
  });
});

describe("the rate of a device", () => {
  it("holds over all its connections, and leaves other devices alone", async () => {
    const clock = new FakeClock();
    const rates = new DeviceRates({ perSecond: 10, burst: 10 });
    const manager = new ConnectionManager(clock, DEFAULT_GLOBAL_LIMITS, () => false, rates);
    const scope: ConnectionScope = {
      manager,
      protocol: Protocol.HTTP,
      kind: "http",
      port: "p",
      limits: DEFAULT_CONNECTION_LIMITS,
    };
    const [a, b, other] = ["d", "d", "x"].map((deviceId) => {
      const connection = new Plain(scope, "10.0.0.1");
      manager.add(connection);
      connection.admitted({ tenant: "", deviceId, user: "" });
      return connection;
    });
    a!.spend(8);
    b!.spend(8);
    other!.spend(8);
    expect([a!.reading, b!.reading, other!.reading]).toEqual([true, false, true]);
    await clock.advance(500);
    expect(b!.reading).toBe(false);
    await clock.advance(300);
    expect(b!.reading).toBe(true);
    expect(rates.take({ tenant: "", deviceId: "d", user: "" }, 5, clock.nowMs())).toBeGreaterThan(0);
    await clock.advance(1_000);
    expect(rates.take({ tenant: "", deviceId: "d", user: "" }, 5, clock.nowMs())).toBe(0);
  });
});

describe("limits", () => {
  it("hold for all connections and for one address", () => {
    const { manager, open } = rig({}, { maxConnections: 3, maxConnectionsPerAddress: 2 });
    open();
    const second = open();
    expect(manager.refusalOf("10.0.0.1")).toBe("address");
    expect(manager.refusalOf("10.0.0.2")).toBeUndefined();
    open(Plain, "10.0.0.2");
    expect(manager.refusalOf("10.0.0.3")).toBe("connections");
    second.disconnect("client");
    second.disconnect("client");
    expect(manager.refusalOf("10.0.0.1")).toBeUndefined();
    expect(manager.size).toBe(2);
    expect(manager.counters).toMatchObject({
      accepted: { tcp: 3 },
      active: { tcp: 2 },
      refused: { address: 1, connections: 1 },
      disconnects: { tcp: { client: 1 } },
    });
  });

  it("make a draining listener take nobody, and wait for those that leave", async () => {
    const { manager, open } = rig();
    const stays = open();
    stays.disconnect = (reason) => {
      stays.said.push(reason);
    };
    let drained = false;
    const done = manager.drain(10_000).then(() => {
      drained = true;
    });
    expect(manager.refusalOf("10.0.0.9")).toBe("draining");
    expect([stays.said, drained]).toEqual([["drain"], false]);
    manager.remove(stays, "drain");
    await done;
  });
});

describe("DisconnectLog", () => {
  it("keeps the last end of as many devices as fit", () => {
    const log = new DisconnectLog(2);
    const device = (deviceId: string) => ({ tenant: "", deviceId, user: "" });
    log.note(device("a"), "client", 1);
    log.note(device("b"), "lost", 2);
    log.note(device("a"), "takeover", 3);
    log.note(device("c"), "drain", 4);
    expect(log.get("", "a")).toEqual({ atMs: 3, reason: "takeover" });
    expect(log.get("", "b")).toBeUndefined();
    expect(log.get("x", "a")).toBeUndefined();
  });
});
