/** What a stream protocol needs of a transport; `net.Socket` and `tls.TLSSocket` are ones as they are. */

/** A two-way stream of bytes whose reading side is pushed by its owner, see `StreamSink`. */
export interface ByteStream {
  /** Takes the bytes without copying them; false when the other side reads more slowly than we write. */
  write(data: Uint8Array): boolean;
  /** Bytes taken and not yet handed to the kernel. */
  readonly writableLength: number;
  /** Between `cork` and `uncork` writes are gathered into one. */
  cork(): void;
  uncork(): void;
  /** Stops and restarts the calls of `StreamSink.onData`; at most what was read already comes after `pause`. */
  pause(): unknown;
  resume(): unknown;
  /** Sends what is waiting, then closes. */
  end(): unknown;
  /** Closes at once; waiting bytes are lost. */
  destroy(): unknown;
  /** The socket below, where that is not the stream itself. */
  readonly transport?: unknown;
}

/** The protocol's end of a stream: whoever owns the transport calls these. */
export interface StreamSink {
  /** Bytes have come. They are read during the call; what is needed later is copied. */
  onData(chunk: Buffer): void;
  /** The transport takes bytes again after `write` returned false. */
  onDrain(): void;
  /** The transport is gone; called once, also after `end` and `destroy`. */
  onClosed(error?: Error): void;
}

/** Where a stream comes from. */
export interface StreamPeer {
  /** Remote IP address. */
  readonly address: string;
  /** True when the bytes were encrypted on the way. */
  readonly secure: boolean;
}
