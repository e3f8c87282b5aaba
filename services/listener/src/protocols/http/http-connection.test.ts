import { Socket } from "node:net";
import { Protocol } from "@myelin/contract";
import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { ConnectionManager } from "../../core/connection-manager.js";
import { DEFAULT_CONNECTION_LIMITS, DEFAULT_GLOBAL_LIMITS } from "../../core/limits.js";
import type { HttpScope } from "./http-connection.js";
import { HttpConnection } from "./http-connection.js";

const TIMEOUT_MS = 10_000;

function rig(limits: Partial<typeof DEFAULT_CONNECTION_LIMITS> = {}) {
  const clock = new FakeClock();
  const state = { congested: false };
  const manager = new ConnectionManager(clock, DEFAULT_GLOBAL_LIMITS, () => state.congested);
  const scope: HttpScope = {
    checkHost: () => {},
    manager,
    protocol: Protocol.HTTP,
    kind: "http",
    port: "web",
    limits: { ...DEFAULT_CONNECTION_LIMITS, ...limits },
  };
  const socket = new Socket();
  const connection = new HttpConnection(scope, socket);
  manager.add(connection);
  /** What became of a request that waits for its turn, by name of the outcome. */
  const wait = () => {
    const request = { outcome: "waits" };
    connection.free(TIMEOUT_MS).then(
      () => {
        request.outcome = "free";
      },
      (error: { code: string }) => {
        request.outcome = error.code;
      },
    );
    return request;
  };
  const congest = () => {
    state.congested = true;
    manager.mustHold(connection, 0);
  };
  const relax = () => {
    state.congested = false;
    manager.congestionEnded();
  };
  return { clock, manager, socket, connection, wait, congest, relax };
}

describe("a request that waits for its turn", () => {
  it("gets it when congestion ends, with all others of its connection", async () => {
    const { clock, wait, congest, relax } = rig();
    congest();
    const requests = [wait(), wait()];
    await clock.advance(TIMEOUT_MS - 1);
    expect(requests.map((r) => r.outcome)).toEqual(["waits", "waits"]);
    relax();
    await clock.advance(0);
    expect(requests.map((r) => r.outcome)).toEqual(["free", "free"]);
    expect(clock.pendingTimers).toBe(0);
  });

  it("is refused when congestion outlasts its deadline", async () => {
    const { clock, wait, congest } = rig();
    congest();
    const request = wait();
    await clock.advance(TIMEOUT_MS);
    expect(request.outcome).toBe("bus.timeout");
  });

  it("waits out its rate, however long that takes", async () => {
    const { clock, connection, wait } = rig({ rate: { perSecond: 1, burst: 1 } });
    connection.spend(31);
    const request = wait();
    await clock.advance(2 * TIMEOUT_MS);
    expect(request.outcome).toBe("waits");
    await clock.advance(2 * TIMEOUT_MS);
    expect(request.outcome).toBe("free");
  });

  it("is refused when the process begins to stop", async () => {
    const { clock, manager, connection, wait, congest } = rig();
    congest();
    const before = wait();
    connection.busy = 1;
    manager.stopReading();
    connection.disconnect("drain");
    const after = wait();
    await clock.advance(0);
    expect([before.outcome, after.outcome]).toEqual(["queue.closed", "queue.closed"]);
  });

  it("is let go when its client is gone", async () => {
    const { clock, connection, wait, congest } = rig();
    congest();
    const request = wait();
    connection.closed();
    await clock.advance(0);
    expect(request.outcome).toBe("free");
    expect(clock.pendingTimers).toBe(0);
  });
});

it("closes a drained connection when its last request is answered", () => {
  const { socket, connection } = rig();
  connection.busy = 2;
  connection.disconnect("drain");
  connection.answered();
  expect(socket.destroyed || socket.writableEnded).toBe(false);
  connection.answered();
  expect(socket.destroyed || socket.writableEnded).toBe(true);
});
