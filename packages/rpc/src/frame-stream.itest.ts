import { connect } from "node:net";
import path from "node:path";
import type { AppError } from "@myelin/kernel";
import { tempDir } from "@myelin/testkit";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import {
  connectGrpc,
  connectUds,
  createGrpcServer,
  createUdsServer,
  FrameReader,
  type FrameServer,
  type FrameStream,
} from "./index.js";

const MAX_FRAME_BYTES = 1024 * 1024;

function closed(stream: FrameStream): Promise<AppError | undefined> {
  return new Promise((resolve) => stream.onClose(resolve));
}

describe.each(["uds", "grpc"] as const)("a frame stream over %s", (kind) => {
  let dir: AsyncDisposable & { path: string };
  let server: FrameServer;
  let streams: FrameStream[];
  let waiting: ((stream: FrameStream) => void)[];

  const accepted = (): Promise<FrameStream> =>
    new Promise((resolve) => {
      const stream = streams.shift();
      if (stream === undefined) waiting.push(resolve);
      else resolve(stream);
    });
  const dial = (): Promise<FrameStream> =>
    kind === "uds"
      ? connectUds(server.address.slice("unix:".length), { maxFrameBytes: MAX_FRAME_BYTES })
      : connectGrpc(server.address, { maxFrameBytes: MAX_FRAME_BYTES });

  beforeEach(async () => {
    dir = await tempDir();
    streams = [];
    waiting = [];
    const onStream = (stream: FrameStream): void => {
      const next = waiting.shift();
      if (next === undefined) streams.push(stream);
      else next(stream);
    };
    server =
      kind === "uds"
        ? createUdsServer({ path: path.join(dir.path, "s.sock"), onStream, maxFrameBytes: MAX_FRAME_BYTES })
        : createGrpcServer({ host: "127.0.0.1", port: 0, onStream, maxFrameBytes: MAX_FRAME_BYTES });
    await server.start(new AbortController().signal);
  });
  afterEach(async () => {
    await server.stop();
    await dir[Symbol.asyncDispose]();
  });

  it("carries frames of every size both ways, in order", async () => {
    const client = await dial();
    client.send(Buffer.from("hello"));
    const peer = await accepted();
    const echoed: number[] = [];
    peer.onFrame((frame) => {
      if (frame.length > 5) peer.send(frame);
    });
    const sizes = [6, 127, 128, 65_535, 65_536, 65_537, 900_000, 7];
    const done = new Promise<void>((resolve) => {
      client.onFrame((frame) => {
        expect(frame.every((byte) => byte === frame.length % 251)).toBe(true);
        echoed.push(frame.length);
        if (echoed.length === sizes.length) resolve();
      });
    });
    for (const size of sizes) client.send(Buffer.alloc(size, size % 251));
    await done;
    expect(echoed).toEqual(sizes);
    client.close();
  });

  it("tells both sides of an orderly end without an error", async () => {
    const client = await dial();
    client.send(Buffer.from("x"));
    const peer = await accepted();
    const ends = [closed(client), closed(peer)];
    client.close();
    expect(await Promise.all(ends)).toEqual([undefined, undefined]);
  });

  it("tells the client when the server goes away", async () => {
    const client = await dial();
    client.send(Buffer.from("x"));
    const peer = await accepted();
    const end = closed(client);
    peer.destroy();
    await end;
    expect(client.send(Buffer.from("y"))).toBe(false);
  });

  it("pushes back when the other side does not read, and goes on when it does", async () => {
    const client = await dial();
    client.send(Buffer.from("x"));
    const peer = await accepted();
    let received = 0;
    const frame = Buffer.alloc(500_000);
    let sent = 0;
    peer.pause();
    while (client.send(frame) || sent < 3) sent += 1;
    sent += 1;
    expect(sent).toBeLessThan(200);
    const drained = new Promise<void>((resolve) => client.onDrain(resolve));
    const all = new Promise<void>((resolve) => {
      peer.onFrame((f) => {
        if (f.length === frame.length) received += 1;
        if (received === sent) resolve();
      });
    });
    peer.resume();
    await Promise.all([drained, all]);
  });

  it("ends a stream whose frame is over the limit with contract.frame_too_large", async () => {
    const client = await dial();
    client.send(Buffer.from("x"));
    const peer = await accepted();
    const end = closed(peer);
    const clientEnd = closed(client);
    client.send(Buffer.alloc(MAX_FRAME_BYTES + 1));
    const errors = (await Promise.all([end, clientEnd])).map((error) => error?.code);
    expect(errors).toContain("contract.frame_too_large");
  });

  it("refuses to connect where nobody listens", async () => {
    await server.stop();
    const attempt =
      kind === "uds"
        ? connectUds(path.join(dir.path, "none.sock"))
        : connectGrpc("127.0.0.1:1", { timeoutMs: 300 });
    await expect(attempt).rejects.toMatchObject({ code: "rpc.unavailable" });
  });

  it("calls a connection attempt off by its signal", async () => {
    const attempt =
      kind === "uds"
        ? connectUds(path.join(dir.path, "none.sock"), { signal: AbortSignal.abort() })
        : connectGrpc("127.0.0.1:1", { signal: AbortSignal.abort() });
    await expect(attempt).rejects.toMatchObject({ code: "operation.aborted" });
  });
});

describe("the socket file", () => {
  it("is taken over when its listener was killed, and refused while somebody listens", async () => {
    await using dir = await tempDir();
    const options = { path: path.join(dir.path, "s.sock"), onStream: () => undefined };
    const first = createUdsServer(options);
    await first.start(new AbortController().signal);
    await expect(createUdsServer(options).start(new AbortController().signal)).rejects.toMatchObject({
      code: "setup.port_in_use",
    });
    await first.stop();
    const second = createUdsServer(options);
    await second.start(new AbortController().signal);
    const probe = connect(options.path);
    await new Promise((resolve) => probe.once("connect", resolve));
    probe.destroy();
    await second.stop();
  });

  it("refuses a path the system cannot bind", async () => {
    const server = createUdsServer({ path: `/tmp/${"x".repeat(120)}`, onStream: () => undefined });
    await expect(server.start(new AbortController().signal)).rejects.toMatchObject({
      code: "config.invalid",
    });
  });
});

describe("FrameReader", () => {
  it("gives the same frames however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 1, maxLength: 20 }),
        (frames, cuts) => {
          const bytes = Buffer.concat(
            frames.map((frame) => {
              const prefix = Buffer.alloc(4);
              prefix.writeUInt32BE(frame.length);
              return Buffer.concat([prefix, frame]);
            }),
          );
          const got: Buffer[] = [];
          const reader = new FrameReader(300, (frame) => got.push(Buffer.from(frame)));
          for (let at = 0, i = 0; at < bytes.length; i++) {
            const end = at + cuts[i % cuts.length]!;
            reader.push(bytes.subarray(at, end));
            at = end;
          }
          expect(got.map((f) => f.toString("hex"))).toEqual(
            frames.map((f) => Buffer.from(f).toString("hex")),
          );
          expect(reader.idle).toBe(true);
        },
      ),
    );
  });

  it("refuses a length of 4 GB before it allocates anything", () => {
    const reader = new FrameReader(1024, () => undefined);
    const before = process.memoryUsage().arrayBuffers;
    expect(() => reader.push(Buffer.from([0xff, 0xff, 0xff, 0xff, 1]))).toThrow(
      expect.objectContaining({ code: "contract.frame_too_large" }),
    );
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(1_000_000);
  });
});
