/** The one method of applications, with frames as bytes instead of objects. */

/** `myelin.app.v1.AppService/Connect`: a bidirectional stream of `AppFrame`. */
export const CONNECT_PATH = "/myelin.app.v1.AppService/Connect";

/** Trailer in which an error's code travels beside the gRPC status. */
export const CODE_TRAILER = "myelin-code";

/** The library wants a Buffer; a frame's bytes are used as they are. */
export function toBuffer(frame: Uint8Array): Buffer {
  return Buffer.isBuffer(frame) ? frame : Buffer.from(frame.buffer, frame.byteOffset, frame.byteLength);
}

/** Bytes come out as they went in: they are a message already. */
export const identity = (bytes: Buffer): Buffer => bytes;
