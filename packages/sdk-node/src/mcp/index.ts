export { McpClient, type McpClientState } from "./client.js";
export type { McpMessageCallback } from "./inbox.js";
export {
  MCPMessageHandler,
  type Parsable,
  type PayloadFormat,
  type Serialized,
  structuredFormat,
} from "./message-handler.js";
export type { McpClientOptions, McpResumeState, McpSendOptions } from "./options.js";
export { BINARY_TEMPERATURE, type Temperature, temperature } from "./temperature.js";
