/** The binary messages of a WebSocket as the byte stream that MCP and MQTT speak over. */
import type { Duplex } from "node:stream";
import type { WebSocket } from "ws";
import type { ByteStream, StreamSink } from "../../core/byte-stream.js";
import { CLOSE } from "./close-codes.js";

export class WebSocketStream implements ByteStream {
  /** Asked when the stream ends from this side. */
  closeCode: () => number = () => CLOSE.normal;

  constructor(
    private readonly ws: WebSocket,
    private readonly socket: Duplex,
  ) {}

  get transport(): Duplex {
    return this.socket;
  }

  /** From here on the sink hears of everything. */
  serve(sink: StreamSink, onMalformed: (reason: string) => void): void {
    const { ws } = this;
    ws.on("message", (data: Buffer, isBinary: boolean) => {
      if (isBinary) sink.onData(data);
      else {
        onMalformed("text");
        ws.close(CLOSE.unsupported, "binary messages only");
      }
    });
    this.socket.on("drain", () => sink.onDrain());
    ws.on("error", (error: NodeJS.ErrnoException) => onMalformed(reasonOf(error)));
    ws.on("close", () => sink.onClosed());
  }

  get writableLength(): number {
    return this.ws.bufferedAmount;
  }

  write(data: Uint8Array): boolean {
    if (this.ws.readyState !== this.ws.OPEN) return true;
    this.ws.send(data, { binary: true });
    return !this.socket.writableNeedDrain;
  }

  cork(): void {
    this.socket.cork();
  }

  uncork(): void {
    this.socket.uncork();
  }

  pause(): void {
    this.ws.pause();
  }

  resume(): void {
    this.ws.resume();
  }

  end(): void {
    this.ws.close(this.closeCode());
  }

  destroy(): void {
    this.ws.terminate();
  }
}

/** Metric label of what `ws` refuses: a closed set. */
export function reasonOf(error: NodeJS.ErrnoException): string {
  switch (error.code) {
    case "WS_ERR_UNSUPPORTED_MESSAGE_LENGTH":
    case "WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH":
      return "frame_too_large";
    case "WS_ERR_INVALID_UTF8":
      return "utf8";
    default:
      return error.code?.startsWith("WS_ERR_") ? "frame" : "transport";
  }
}
