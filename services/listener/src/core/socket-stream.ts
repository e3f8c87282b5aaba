/** Connects a socket to the protocol that reads it, without a closure per connection. */
import type { Socket } from "node:net";
import type { StreamSink } from "./byte-stream.js";

const SINK = Symbol("sink");

interface ServedSocket extends Socket {
  [SINK]?: StreamSink | undefined;
}

function onData(this: ServedSocket, chunk: Buffer): void {
  this[SINK]!.onData(chunk);
}

function onDrain(this: ServedSocket): void {
  this[SINK]!.onDrain();
}

function onClose(this: ServedSocket): void {
  const sink = this[SINK]!;
  sink.onClosed(this.errored ?? undefined);
}

// A broken connection is told by `close`, which always follows.
function onError(): void {}

/**
 * From here on the sink gets what the socket reads, `head` first, and hears when it is gone. The socket must have no
 * listeners of its own.
 */
export function serveSocket(socket: Socket, sink: StreamSink, head?: Buffer): void {
  (socket as ServedSocket)[SINK] = sink;
  socket.on("error", onError);
  socket.on("close", onClose);
  socket.on("drain", onDrain);
  socket.on("data", onData);
  if (head !== undefined && head.length > 0) sink.onData(head);
  // `on("data")` does not restart a socket that somebody paused on purpose.
  if (socket.isPaused()) socket.resume();
}

/** The sink gets nothing more, and the socket has no listeners of ours: whoever is next may take it. */
export function unserveSocket(socket: Socket): void {
  socket.off("error", onError);
  socket.off("close", onClose);
  socket.off("drain", onDrain);
  socket.off("data", onData);
  (socket as ServedSocket)[SINK] = undefined;
}
