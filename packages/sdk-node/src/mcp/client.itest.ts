import type { McpMessage } from "@myelin/contract";
import { type AppError, FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import {
  type Peer,
  type PeerSession,
  startTcpPeer,
  startUdpPeer,
  startWebSocketPeer,
  until,
} from "../../test/mcp-peer.js";
import { McpClient, type McpClientOptions, type McpClientState } from "./index.js";

const BACKOFF = { initialMs: 10, maxMs: 100, jitter: "none" } as const;
const never = new AbortController().signal;
const text = (messages: readonly McpMessage[]) => messages.map((m) => m.payload.toString());

class Device extends McpClient implements AsyncDisposable {
  readonly states: McpClientState[] = [];
  readonly errors: string[] = [];
  constructor(peer: Peer, options: Partial<McpClientOptions> = {}) {
    super({ url: peer.url, deviceId: "d1", backoff: BACKOFF, ...options });
    this.onState((state) => this.states.push(state));
    this.onError((error: AppError) => this.errors.push(error.code));
  }
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

const code = (expected: string) => expect.objectContaining({ code: expected });

describe.each([
  ["TCP", startTcpPeer],
  ["WebSocket", startWebSocketPeer],
  ["UDP", startUdpPeer],
])("McpClient over %s", (carrier, startPeer) => {
  it("says who it is and sends telemetry and events", async () => {
    await using peer = await startPeer();
    await using device = new Device(peer, { username: "u", password: "p" });
    await device.start(never);
    expect(device.state).toBe("normal");
    await device.send("temperature", "21.5", { contentType: "text/plain" });
    await device.send("door", Buffer.from("open"), { lane: "event", ttlMs: 1000, sourceTimeUs: 5, id: "e1" });
    expect(device.unacknowledged).toBe(0);
    await until(() => peer.session.data().length === 2);
    expect(peer.session.controls("hello")[0]).toMatchObject({
      version: 1,
      deviceId: "d1",
      username: "u",
      password: Buffer.from("p"),
    });
    expect(peer.session.data()).toMatchObject([
      { type: "temperature", lane: "telemetry", sequence: 1, contentType: "text/plain" },
      { type: "door", lane: "event", sequence: 2, id: "e1", ttlMs: 1000, sourceTimeUs: 5, replayed: false },
    ]);
  });

  it("hands out what the server sends, in order, and acknowledges it when the application is done", async () => {
    await using peer = await startPeer();
    await using device = new Device(peer);
    const seen: string[] = [];
    let finish = (): void => undefined;
    device.onMessage(async (message) => {
      seen.push(message.id);
      if (message.id === "m1") await new Promise<void>((resolve) => (finish = resolve));
      if (message.id === "m2") throw new Error("no such relay");
    });
    await device.start(never);
    for (const id of ["m1", "m2", "m3", "m1"]) peer.session.send({ id, type: "relay" });
    await until(() => seen.length === 1);
    expect(peer.session.controls("ack")).toEqual([]);
    finish();
    await until(
      () => peer.session.controls("ack").length === 2 && peer.session.controls("error").length === 1,
    );
    expect(seen).toEqual(["m1", "m2", "m3"]);
    expect(peer.session.controls("ack").map((a) => a.ids[0])).toEqual(["m1", "m3"]);
    expect(peer.session.controls("error")[0]).toMatchObject({ id: "m2", code: "internal.unexpected" });
    peer.session.send({ id: "m1", type: "relay" });
    await until(() => peer.session.controls("ack").length === 3);
    expect(seen).toHaveLength(3);
  });

  it("is overdue after a missed pong, normal when the server is heard, and reconnects after three misses", async () => {
    await using peer = await startPeer();
    const clock = new FakeClock();
    await using device = new Device(peer, { clock });
    let answering = false;
    peer.script = (session, message) => {
      if (message.control?.kind === "hello") session.welcome();
      if (message.control?.kind === "ping" && answering)
        session.send({ control: { kind: "pong", nonce: 1 } });
    };
    await device.start(never);
    await clock.advance(30_000);
    expect(device.state).toBe("normal");
    await clock.advance(10_000);
    expect(device.state).toBe("overdue");
    answering = true;
    await clock.advance(20_000);
    await until(() => device.state === "normal");
    answering = false;
    await clock.advance(100_000);
    await until(() => device.states.includes("reconnecting"));
    await clock.advance(100);
    await peer.nthSession(2);
    await until(() => device.state === "normal");
    expect(device.states).toEqual([
      "connecting",
      "normal",
      "overdue",
      "normal",
      "overdue",
      "reconnecting",
      "normal",
    ]);
    expect(device.errors).toEqual(["protocol.timeout"]);
    await device.stop();
    expect(clock.pendingTimers).toBe(0);
  });

  it("rejects an event that the server refuses, and goes on", async () => {
    await using peer = await startPeer();
    await using device = new Device(peer);
    const accept = peer.script;
    peer.script = (session, message) => {
      if (message.id !== "full") accept(session, message);
      else session.send({ control: { kind: "error", id: "full", code: "bus.stream_full", retryable: true } });
    };
    await device.start(never);
    await expect(device.send("e", "x", { lane: "event", id: "full" })).rejects.toMatchObject({
      code: "bus.stream_full",
      retryable: true,
    });
    await device.send("e", "x", { lane: "event" });
  });

  it("ends its start with the server's refusal", async () => {
    await using peer = await startPeer();
    peer.script = (session) => {
      session.send({ control: { kind: "error", code: "auth.bad_credentials", message: "no" } });
    };
    const device = new Device(peer);
    await expect(device.start(never)).rejects.toEqual(code("auth.bad_credentials"));
    expect(device.state).toBe("stopped");
  });

  it("gives up its start when the signal says so, and leaves nothing behind", async () => {
    const clock = new FakeClock();
    await using peer = await startPeer();
    peer.script = () => undefined;
    const device = new Device(peer, { clock });
    const abort = new AbortController();
    const starting = expect(device.start(abort.signal)).rejects.toEqual(code("operation.aborted"));
    await peer.nthSession(1);
    abort.abort();
    await starting;
    await device.stop();
    expect([device.state, clock.pendingTimers]).toEqual(["stopped", 0]);
  });

  it("says goodbye when it stops and rejects what was not acknowledged", async () => {
    await using peer = await startPeer();
    peer.script = (session, message) => {
      if (message.control?.kind === "hello") session.welcome();
    };
    const device = new Device(peer);
    await device.start(never);
    const lost = expect(device.send("e", "x", { lane: "event" })).rejects.toEqual(code("operation.aborted"));
    await device.stop();
    await device.stop();
    await lost;
    await until(() => peer.session.controls("bye").length === 1);
    await expect(device.send("e", "x")).rejects.toEqual(code("lifecycle.bad_state"));
  });

  it(`refuses a message larger than the server takes, over ${carrier} too`, async () => {
    await using peer = await startPeer();
    peer.script = (session, message) => {
      if (message.control?.kind === "hello") session.welcome({ maxFrameBytes: 100 });
    };
    await using device = new Device(peer);
    await device.start(never);
    await expect(device.send("t", Buffer.alloc(101))).rejects.toEqual(code("contract.frame_too_large"));
  });
});

describe("McpClient's session", () => {
  const acceptingAll = (peer: Peer) => peer.script;
  const silent = (session: PeerSession, message: McpMessage): void => {
    if (message.control?.kind === "hello") session.welcome();
  };

  it("sends again only what was not acknowledged, with the same ids and sequences", async () => {
    await using peer = await startTcpPeer();
    await using device = new Device(peer);
    peer.script = silent;
    await device.start(never);
    const sent = ["a", "b", "c", "d"].map((p) => device.send("e", p, { lane: "event" }));
    await until(() => peer.session.data().length === 4);
    const first = peer.session.data();
    peer.session.send({ control: { kind: "ack", sequence: 1 } });
    await sent[0];
    peer.script = (session, message) => {
      if (message.control?.kind === "hello") session.welcome({ resumed: true, lastStoredSequence: 2 });
      if (message.lane === "event") session.send({ control: { kind: "ack", sequence: message.sequence } });
    };
    peer.session.drop();
    await Promise.all(sent);
    const second = await peer.nthSession(2);
    expect(second.controls("hello")[0]?.resumeToken.toString()).toBe("token-1");
    expect(second.data()).toEqual(first.slice(2));
  });

  it("sends everything again when the server has forgotten the session", async () => {
    await using peer = await startTcpPeer();
    await using device = new Device(peer);
    const accept = acceptingAll(peer);
    peer.script = silent;
    await device.start(never);
    const sent = ["a", "b"].map((p) => device.send("e", p, { lane: "event" }));
    await until(() => peer.session.data().length === 2);
    const first = peer.session.data();
    peer.script = accept;
    peer.session.drop();
    await Promise.all(sent);
    expect((await peer.nthSession(2)).data()).toEqual(first);
  });

  it("keeps events while there is no connection, and marks those that waited long as replayed", async () => {
    await using peer = await startTcpPeer();
    const clock = new FakeClock();
    await using device = new Device(peer, {
      clock,
      backoff: { initialMs: 9_000, maxMs: 9_000, jitter: "none" },
    });
    await device.start(never);
    peer.session.drop();
    await until(() => device.state === "reconnecting");
    await expect(device.send("t", "lost")).rejects.toEqual(code("rpc.unavailable"));
    const early = device.send("e", "early", { lane: "event" });
    const expired = expect(device.send("e", "expired", { lane: "event", ttlMs: 500 })).rejects.toEqual(
      code("operation.timeout"),
    );
    await clock.advance(6_000);
    const late = device.send("e", "late", { lane: "event" });
    await clock.advance(3_000);
    await Promise.all([early, late, expired]);
    const second = await peer.nthSession(2);
    expect(second.data().map((m) => [m.payload.toString(), m.replayed])).toEqual([
      ["early", true],
      ["late", false],
    ]);
  });

  it("refuses an event more than it may keep, and takes one again when there is room", async () => {
    await using peer = await startTcpPeer();
    peer.script = silent;
    await using device = new Device(peer, { maxUnacknowledged: 2 });
    await device.start(never);
    const sent = [
      device.send("e", "1", { lane: "event" }),
      device.send("e", "2", { lane: "event", id: "x" }),
    ];
    await expect(device.send("e", "3", { lane: "event" })).rejects.toEqual(code("queue.full"));
    await until(() => peer.session.data().length === 2);
    peer.session.send({ control: { kind: "ack", ids: ["x"] } });
    await sent[1];
    await expect(device.send("e", "4", { lane: "event", id: peer.session.data()[0]?.id })).rejects.toEqual(
      code("contract.bad_frame"),
    );
    const third = device.send("e", "5", { lane: "event" });
    await until(() => peer.session.data().length === 3);
    peer.session.send({ control: { kind: "ack", sequence: 99 } });
    await Promise.all([sent[0], third]);
  });

  it("takes what follows the welcome in the same packet, and tells the server next time what it has", async () => {
    await using peer = await startTcpPeer();
    await using device = new Device(peer);
    const seen: string[] = [];
    device.onMessage((m) => void seen.push(m.type));
    peer.script = (session, message) => {
      if (message.control?.kind !== "hello") return;
      session.send(
        { control: { kind: "welcome", version: 1, resumeToken: Buffer.from("t"), resumed: true } },
        { id: "m1", type: "first", sequence: 7 },
      );
    };
    await device.start(never);
    await until(() => peer.session.controls("ack").length === 1);
    peer.session.drop();
    const second = await peer.nthSession(2);
    expect(second.controls("hello")[0]).toMatchObject({ lastReceivedSequence: 7 });
    await until(() => second.controls("ack").length === 1);
    expect(seen).toEqual(["first"]);
    expect(device.resumeState).toEqual({
      token: Uint8Array.from(Buffer.from("t")),
      lastReceivedSequence: 7,
      lastSentSequence: 0,
    });
  });

  it("goes on with the session of an earlier process", async () => {
    await using peer = await startTcpPeer();
    await using device = new Device(peer, {
      resume: { token: Buffer.from("kept"), lastReceivedSequence: 3, lastSentSequence: 40 },
    });
    await device.start(never);
    await device.send("t", "x");
    await until(() => peer.session.data().length === 1);
    expect(peer.session.controls("hello")[0]).toMatchObject({
      resumeToken: Buffer.from("kept"),
      lastReceivedSequence: 3,
    });
    expect(peer.session.data()[0]?.sequence).toBe(41);
  });

  it("offers the server's messages as an iterator that acknowledges each when the next is asked for", async () => {
    await using peer = await startTcpPeer();
    const device = new Device(peer);
    await device.start(never);
    peer.session.send({ id: "1", type: "a" }, { id: "2", type: "b" }, { sequence: 9, type: "c" });
    const seen: string[] = [];
    for await (const message of device.messages()) {
      expect(peer.session.controls("ack").length).toBeLessThanOrEqual(seen.length);
      seen.push(message.type);
      if (seen.length === 3) {
        await until(() => peer.session.controls("ack").length === 2);
        await device.stop();
      }
    }
    expect(seen).toEqual(["a", "b", "c"]);
  });

  it("holds the server back when the application is slow, and loses nothing", async () => {
    await using peer = await startTcpPeer();
    await using device = new Device(peer, { maxIncoming: 4 });
    await device.start(never);
    const payload = Buffer.alloc(100_000);
    for (let i = 0; i < 40; i++) peer.session.send({ type: `${i}`, payload, lane: "telemetry" });
    const seen: string[] = [];
    for await (const message of device.messages()) {
      seen.push(message.type);
      if (seen.length === 40) break;
    }
    expect(seen).toEqual(Array.from({ length: 40 }, (_, i) => `${i}`));
  });

  it("reconnects after bytes that are no frames, and never gives up", async () => {
    await using peer = await startTcpPeer();
    await using device = new Device(peer);
    await device.start(never);
    for (let n = 2; n < 8; n++) {
      peer.session.send({ type: "x".repeat(2_000_000) });
      await peer.nthSession(n);
      await until(() => device.state === "normal");
    }
    expect(new Set(device.errors)).toEqual(new Set(["contract.frame_too_large"]));
  });

  it("starts before its server does", async () => {
    const first = await startTcpPeer();
    const { url } = first;
    await first.close();
    await using device = new Device(first, { url });
    const starting = device.start(AbortSignal.timeout(20_000));
    await until(() => device.errors.length >= 2);
    expect(device.errors[0]).toBe("rpc.unavailable");
    await device.stop();
    await expect(starting).rejects.toEqual(code("operation.aborted"));
  });

  it("sends a datagram again until it is acknowledged", async () => {
    await using peer = await startUdpPeer();
    const clock = new FakeClock();
    await using device = new Device(peer, { clock });
    peer.script = (session, message) => {
      const hellos = session.controls("hello").length;
      if (message.control?.kind === "hello" && hellos === 2) session.welcome();
      const copies = session.data().filter((m) => m.id === message.id).length;
      if (message.lane === "event" && copies === 3)
        session.send({ control: { kind: "ack", ids: [message.id] } });
    };
    const starting = device.start(never);
    await until(() => peer.sessions[0]?.controls("hello").length === 1);
    await clock.advance(1_000);
    await starting;
    const sent = device.send("e", "x", { lane: "event" });
    await until(() => peer.session.data().length === 1);
    await clock.advance(1_000);
    await until(() => peer.session.data().length === 2);
    await clock.advance(2_000);
    await sent;
    expect(text(peer.session.data())).toEqual(["x", "x", "x"]);
    await clock.advance(60_000);
    expect(peer.session.data()).toHaveLength(3);
  });
});

describe("McpClient's options", () => {
  it.each([
    [{ url: "http://x" }],
    [{ url: "nonsense" }],
    [{ deviceId: "" }],
    [{ heartbeatMs: 0 }],
    [{ maxUnacknowledged: Number.NaN }],
  ])("refuses %j", (options) => {
    expect(() => new McpClient({ url: "tcp://x:1", deviceId: "d", ...options })).toThrow(
      code("config.invalid"),
    );
  });
});
