/** A server for tests that speaks MCP over real sockets and does exactly what the test says. */
import { createSocket, type RemoteInfo } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, createServer, type Socket } from "node:net";
import {
  encodeMcpFrame,
  MCP_WEBSOCKET_PROTOCOL,
  McpFrameReader,
  type McpMessage,
  type McpMessageInit,
  McpMessageView,
  viewMcpFrame,
} from "@myelin/contract";
import { waitFor } from "@myelin/testkit";
import { WebSocketServer } from "ws";

/** Waits for a condition that says itself what it is about. */
export const until = (condition: () => boolean): Promise<true> =>
  waitFor(() => (condition() ? true : undefined), { what: condition.toString(), everyMs: 2 });

/** One device as the peer sees it: over a stream one connection, over UDP one source address. */
export class PeerSession {
  readonly received: McpMessage[] = [];
  closed = false;

  constructor(
    private readonly write: (frame: Buffer) => void,
    readonly drop: () => void,
  ) {}

  send(...messages: McpMessageInit[]): void {
    // In one piece, as a busy server does.
    this.write(Buffer.concat(messages.map(encodeMcpFrame)));
  }

  welcome(welcome: Partial<Extract<McpMessage["control"], { kind: "welcome" }>> = {}): void {
    this.send({ control: { version: 1, resumeToken: Buffer.from("token-1"), ...welcome, kind: "welcome" } });
  }

  data(): McpMessage[] {
    return this.received.filter((m) => m.control === undefined);
  }

  controls<K extends NonNullable<McpMessage["control"]>["kind"]>(kind: K) {
    return this.received.flatMap((m) =>
      m.control?.kind === kind ? [m.control as Extract<McpMessage["control"], { kind: K }>] : [],
    );
  }

  take(view: McpMessageView): void {
    this.received.push(view.toMessage());
  }
}

/** All sessions there were, in their order; `script` is called with each message. */
export class Peer implements AsyncDisposable {
  readonly sessions: PeerSession[] = [];
  url = "";
  script: (session: PeerSession, message: McpMessage) => void = (session, message) => {
    if (message.control?.kind === "hello") session.welcome();
    if (message.control?.kind === "ping")
      session.send({ control: { kind: "pong", nonce: message.control.nonce } });
    if (message.lane === "event") session.send({ control: { kind: "ack", ids: [message.id] } });
  };
  close: () => Promise<void> = async () => undefined;

  get session(): PeerSession {
    return this.sessions.at(-1) as PeerSession;
  }

  async nthSession(n: number): Promise<PeerSession> {
    await until(() => this.sessions.length >= n && this.sessions[n - 1]!.received.length > 0);
    return this.sessions[n - 1] as PeerSession;
  }

  handle(session: PeerSession, view: McpMessageView): void {
    session.take(view);
    this.script(session, session.received.at(-1) as McpMessage);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const portOf = (server: { address(): unknown }) => (server.address() as AddressInfo).port;

export async function startTcpPeer(): Promise<Peer> {
  const peer = new Peer();
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    const session = new PeerSession(
      (frame) => socket.write(frame),
      () => socket.destroy(),
    );
    peer.sessions.push(session);
    const reader = new McpFrameReader({
      onMessage: (view) => peer.handle(session, view),
      onError: () => socket.destroy(),
      onSkipped: () => socket.destroy(),
    });
    socket.on("data", (chunk) => reader.push(chunk));
    socket.on("error", () => undefined);
    socket.on("close", () => {
      session.closed = true;
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  peer.url = `tcp://127.0.0.1:${portOf(server)}`;
  peer.close = async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return peer;
}

export async function startWebSocketPeer(): Promise<Peer> {
  const peer = new Peer();
  const server = new WebSocketServer({
    port: 0,
    host: "127.0.0.1",
    handleProtocols: (offered) => (offered.has(MCP_WEBSOCKET_PROTOCOL) ? MCP_WEBSOCKET_PROTOCOL : false),
  });
  await once(server, "listening");
  const view = new McpMessageView();
  server.on("connection", (socket) => {
    const session = new PeerSession(
      (frame) => socket.send(frame),
      () => socket.terminate(),
    );
    peer.sessions.push(session);
    socket.on("message", (data) => {
      for (let at = 0; at < (data as Buffer).length; ) {
        at = viewMcpFrame(view, data as Buffer, at);
        peer.handle(session, view);
      }
    });
    socket.on("close", () => {
      session.closed = true;
    });
  });
  peer.url = `ws://127.0.0.1:${portOf(server)}/mcp`;
  peer.close = async () => {
    for (const socket of server.clients) socket.terminate();
    await new Promise((resolve) => server.close(resolve));
  };
  return peer;
}

export async function startUdpPeer(): Promise<Peer> {
  const peer = new Peer();
  const socket = createSocket("udp4");
  const byAddress = new Map<string, PeerSession>();
  const view = new McpMessageView();
  const sessionOf = (from: RemoteInfo): PeerSession => {
    const key = `${from.address}:${from.port}`;
    let session = byAddress.get(key);
    if (session === undefined) {
      session = new PeerSession(
        (frame) => socket.send(frame, from.port, from.address),
        () => undefined,
      );
      byAddress.set(key, session);
      peer.sessions.push(session);
    }
    return session;
  };
  socket.on("message", (datagram, from) => {
    viewMcpFrame(view, datagram);
    peer.handle(sessionOf(from), view);
  });
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  peer.url = `udp://127.0.0.1:${socket.address().port}`;
  peer.close = () => new Promise((resolve) => socket.close(() => resolve()));
  return peer;
}
