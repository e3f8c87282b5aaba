import { spawnSync } from "node:child_process";
import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { connect as connectSocket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AppError } from "@myelin/kernel";
import { requires, tempDir } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import type { FrameServer, FrameStream } from "./frame-stream.js";
import { connectGrpc } from "./grpc/grpc-client.js";
import { createGrpcServer } from "./grpc/grpc-server.js";
import { connectUds } from "./uds/uds-client.js";
import { createUdsServer } from "./uds/uds-server.js";

interface Running {
  readonly server: FrameServer;
  readonly streams: FrameStream[];
  connect(): Promise<FrameStream>;
  again(): FrameServer;
  [Symbol.asyncDispose](): Promise<void>;
}

const anySignal = new AbortController().signal;

type OnStream = (stream: FrameStream) => void;

const read: OnStream = (stream) => stream.onFrame(() => undefined);

const transports: Record<string, (onStream?: OnStream) => Promise<Running>> = {
  "a Unix socket": async (onStream = read) => {
    const directory = await mkdtemp(join(tmpdir(), "rpc-"));
    const path = join(directory, "run", "app.sock");
    const streams: FrameStream[] = [];
    const make = () =>
      createUdsServer({
        path,
        maxFrameBytes: 2_000_000,
        onStream: (s) => {
          streams.push(s);
          onStream(s);
        },
      });
    const server = make();
    await server.start(anySignal);
    return {
      server,
      streams,
      connect: () => connectUds(path),
      again: make,
      async [Symbol.asyncDispose]() {
        await server.stop();
        await rm(directory, { recursive: true });
      },
    };
  },
  gRPC: async (onStream = read) => {
    const streams: FrameStream[] = [];
    const make = (port: number) =>
      createGrpcServer({
        host: "127.0.0.1",
        port,
        maxFrameBytes: 2_000_000,
        stopTimeoutMs: 500,
        onStream: (s) => {
          streams.push(s);
          onStream(s);
        },
      });
    const server = make(0);
    await server.start(anySignal);
    const { address } = server;
    return {
      server,
      streams,
      connect: () => connectGrpc(address),
      again: () => make(Number(address.split(":")[1])),
      [Symbol.asyncDispose]: () => server.stop(),
    };
  },
};

const echo: OnStream = (stream) => {
  stream.onFrame((frame) => {
    if (stream.send(frame)) return;
    stream.pause();
  });
  stream.onDrain(() => stream.resume());
};

function collect(stream: FrameStream) {
  const frames: Buffer[] = [];
  let wake = (): void => undefined;
  stream.onFrame((frame) => {
    frames.push(frame);
    wake();
  });
  const until = async (count: number): Promise<Buffer[]> => {
    while (frames.length < count) await new Promise<void>((resolve) => (wake = resolve));
    return frames;
  };
  return { frames, until };
}

const closeOf = (stream: FrameStream): Promise<AppError | undefined> =>
  new Promise((resolve) => stream.onClose(resolve));

describe.each(Object.entries(transports))("over %s", (_, start) => {
  it("frames of any size come back whole and in order", async () => {
    await using running = await start(echo);
    const stream = await running.connect();
    const sizes = [0, 1, 3, 4, 65_535, 65_536, 1_999_999, 10];
    const received = collect(stream);
    for (const [i, size] of sizes.entries()) stream.send(Buffer.alloc(size, i));
    const frames = await received.until(sizes.length);
    expect(frames.map((f) => f.length)).toEqual(sizes);
    for (const [i, frame] of frames.entries()) expect(frame.every((byte) => byte === i)).toBe(true);
    stream.close();
    expect(await closeOf(stream)).toBeUndefined();
  });

  it("a reader that pauses slows the sender down, and nothing is lost", async () => {
    await using running = await start();
    const stream = await running.connect();
    const received = collect(stream);
    stream.pause();
    stream.send(Buffer.from("hello"));
    while (running.streams.length === 0) await new Promise((resolve) => setImmediate(resolve));
    const sender = running.streams[0] as FrameStream;
    const frame = Buffer.alloc(100_000);
    let sent = 0;
    while (sender.send(frame)) sent++;
    sent++;
    expect(sent).toBeLessThan(1000);
    const drained = new Promise<void>((resolve) => sender.onDrain(resolve));
    stream.resume();
    await drained;
    await received.until(sent);
    expect(received.frames).toHaveLength(sent);
    stream.close();
    await closeOf(stream);
  });

  it("what was sent before close arrives, then both sides end without an error", async () => {
    const ended: (AppError | undefined)[] = [];
    await using running = await start((stream) => {
      stream.onFrame(() => {
        for (let i = 0; i < 50; i++) stream.send(Buffer.alloc(10_000, i));
        stream.close();
      });
      stream.onClose((error) => ended.push(error));
    });
    const stream = await running.connect();
    const received = collect(stream);
    stream.send(Buffer.from("go"));
    expect(await closeOf(stream)).toBeUndefined();
    expect(received.frames).toHaveLength(50);
    await running.server.stop();
    expect(ended).toEqual([undefined]);
    expect(stream.send(Buffer.from("late"))).toBe(false);
  });

  it("a frame over the limit ends that stream with an error and leaves its neighbour alone", async () => {
    const ended: (AppError | undefined)[] = [];
    await using running = await start((stream) => {
      echo(stream);
      stream.onClose((error) => ended.push(error));
    });
    const [bad, good] = await Promise.all([running.connect(), running.connect()]);
    const received = collect(good);
    collect(bad);
    good.send(Buffer.from("one"));
    await received.until(1);
    bad.send(Buffer.alloc(2_000_001));
    await closeOf(bad);
    good.send(Buffer.from("two"));
    expect((await received.until(2)).map(String)).toEqual(["one", "two"]);
    good.close();
    await closeOf(good);
    expect(ended.some((error) => error !== undefined)).toBe(true);
  });

  it("a server that stops ends its streams", async () => {
    await using running = await start(echo);
    const stream = await running.connect();
    const received = collect(stream);
    stream.send(Buffer.from("x"));
    await received.until(1);
    const closed = closeOf(stream);
    await running.server.stop();
    await closed;
    expect(running.server.open).toBe(0);
    await running.server.stop();
  });

  it("the place of a live server cannot be taken", async () => {
    await using running = await start();
    const second = running.again();
    await expect(second.start(anySignal)).rejects.toMatchObject({ code: "setup.port_in_use" });
    await second.stop();
    const stream = await running.connect();
    stream.close();
    collect(stream);
    await closeOf(stream);
  });

  it("connecting to nobody is refused at once, and an aborted signal ends it", async () => {
    const running = await start();
    await running[Symbol.asyncDispose]();
    await expect(running.connect()).rejects.toMatchObject({ code: "rpc.unavailable" });
    await expect(connectGrpc("")).rejects.toMatchObject({ code: "config.invalid" });
    const aborted = AbortSignal.abort(new AppError("operation.aborted", "enough"));
    await expect(connectUds("/nowhere.sock", { signal: aborted })).rejects.toMatchObject({
      message: "enough",
    });
    await expect(connectGrpc("127.0.0.1:1", { signal: aborted })).rejects.toMatchObject({
      message: "enough",
    });
  });
});

describe("a Unix socket", () => {
  it("is only its owner's, replaces a dead one, and never a file", async () => {
    const directory = await mkdtemp(join(tmpdir(), "rpc-"));
    const path = join(directory, "app.sock");
    const make = (p: string) => createUdsServer({ path: p, onStream: echo });
    // A process that is killed leaves its socket behind; a child that exits without closing does the same.
    const script = `require("net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
    spawnSync(process.execPath, ["-e", script]);
    expect((await stat(path)).isSocket()).toBe(true);
    const server = make(path);
    await server.start(anySignal);
    expect((await stat(path)).mode & 0o777).toBe(0o600);
    await server.stop();
    await expect(stat(path)).rejects.toMatchObject({ code: "ENOENT" });

    const file = join(directory, "precious.txt");
    await writeFile(file, "keep");
    await expect(make(file).start(anySignal)).rejects.toMatchObject({ code: "setup.port_in_use" });
    await expect(make(join(directory, "x".repeat(120))).start(anySignal)).rejects.toMatchObject({
      code: "config.invalid",
    });
    await rm(directory, { recursive: true });
  });

  it("says that a peer ended in the middle of a frame", async () => {
    const ended = Promise.withResolvers<AppError | undefined>();
    await using running = await (transports["a Unix socket"] as (o: OnStream) => Promise<Running>)(
      (stream) => {
        stream.onFrame(() => undefined);
        stream.onClose(ended.resolve);
      },
    );
    const socket = connectSocket(running.server.address.slice("unix:".length));
    socket.end(Buffer.from([0, 0, 0, 9, 1, 2]));
    socket.resume();
    expect(await ended.promise).toMatchObject({ code: "contract.bad_frame" });
  });
});

describe("gRPC", () => {
  it("tells the client the code of an error", async () => {
    await using running = await (transports.gRPC as (o: OnStream) => Promise<Running>)((stream) => {
      stream.onFrame(() => stream.close(new AppError("auth.bad_credentials", "the token is not known")));
    });
    const stream = await running.connect();
    collect(stream);
    stream.send(Buffer.from("hello"));
    expect(await closeOf(stream)).toMatchObject({
      code: "auth.bad_credentials",
      message: "the token is not known",
    });
  });

  it("refuses streams beyond its limit", async () => {
    const server = createGrpcServer({
      host: "127.0.0.1",
      port: 0,
      maxStreams: 1,
      onStream: echo,
    });
    await server.start(anySignal);
    const first = await connectGrpc(server.address);
    const received = collect(first);
    first.send(Buffer.from("x"));
    await received.until(1);
    const second = await connectGrpc(server.address);
    collect(second);
    expect(await closeOf(second)).toMatchObject({ code: "limit.connections" });
    first.close();
    await closeOf(first);
    await server.stop();
  });
});

describe("gRPC over TLS", requires.program("openssl"), () => {
  it("carries frames between two ends that know each other, and refuses strangers", async () => {
    await using dir = await tempDir("tls");
    const [key, certificate] = [dir.join("key.pem"), dir.join("cert.pem")];
    const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
    const made = spawnSync("openssl", [
      ...[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-days",
        "2",
      ],
      ...["-keyout", key, "-out", certificate, ...subject],
    ]);
    expect(made.status).toBe(0);
    const pem = { key: await readFile(key), certificate: await readFile(certificate) };
    const server = createGrpcServer({
      host: "127.0.0.1",
      port: 0,
      onStream: echo,
      stopTimeoutMs: 200,
      tls: { ...pem, clientCa: pem.certificate },
    });
    await server.start(anySignal);
    const known = await connectGrpc(server.address, {
      ca: pem.certificate,
      clientKey: pem.key,
      clientCertificate: pem.certificate,
    });
    const received = collect(known);
    known.send(Buffer.from("secret"));
    expect((await received.until(1)).map(String)).toEqual(["secret"]);
    known.close();
    await closeOf(known);
    await expect(connectGrpc(server.address)).rejects.toMatchObject({ code: "rpc.unavailable" });
    await server.stop();
  });
});
