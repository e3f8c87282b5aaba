export {
  decodeMcpDatagram,
  encodeMcpFrame,
  type McpFrameLimits,
  viewMcpFrame,
} from "./frame.js";
export {
  MCP_DEFAULT_MAX_MESSAGE_BYTES,
  MCP_HEADER_BYTES,
  MCP_MAGIC,
  MCP_MAX_DATAGRAM_BYTES,
  MCP_VERSION,
  MCP_WEBSOCKET_PROTOCOL,
} from "./layout.js";
export type {
  McpCommandOutcome,
  McpCommandResult,
  McpControl,
  McpControlInit,
  McpControlKind,
  McpHardwareCommand,
  McpLane,
  McpMessage,
  McpMessageInit,
  McpQuality,
} from "./message.js";
export { type McpFrameHandler, McpFrameReader } from "./reader.js";
export { McpMessageView } from "./view.js";
