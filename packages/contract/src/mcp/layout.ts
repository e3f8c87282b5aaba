/** Wire constants of MCP, the Machine Communication Protocol. */

/** First four bytes of every frame: "MCP" and the frame format's version. */
export const MCP_MAGIC: Readonly<Uint8Array> = new Uint8Array([0x4d, 0x43, 0x50, 0x01]);

/** The magic as the big-endian number that a frame starts with. */
export const MCP_MAGIC_WORD = 0x4d43_5001;

/** Magic and length. */
export const MCP_HEADER_BYTES = 8;

/** Version of the protocol inside the frames, as Hello and Welcome carry it. */
export const MCP_VERSION = 1;

/** Largest message a reader takes unless it is told otherwise. */
export const MCP_DEFAULT_MAX_MESSAGE_BYTES = 1024 * 1024;

/** The WebSocket sub-protocol of MCP: binary messages, each of one or more whole frames. */
export const MCP_WEBSOCKET_PROTOCOL = "myelin.mcp.v1";

/** Largest message that fits one UDP datagram over IPv4, frame header included. */
export const MCP_MAX_DATAGRAM_BYTES = 65_507;

/** Field numbers of `MCPMessage`. */
export const MCP_FIELD = {
  id: 1,
  type: 2,
  payload: 3,
  hardware: 4,
  version: 5,
  sequence: 6,
  ttlMs: 7,
  traceparent: 8,
  tracestate: 9,
  versionVector: 10,
  sourceTimeUs: 11,
  contentType: 12,
  deviceId: 13,
  lane: 14,
  responsePath: 15,
  correlation: 16,
  replayed: 17,
  quality: 18,
  result: 19,
  hello: 20,
  welcome: 21,
  ping: 22,
  pong: 23,
  ack: 24,
  error: 25,
  bye: 26,
} as const;
