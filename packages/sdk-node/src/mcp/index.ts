export { McpClient, type McpClientState } from "./client.js";
export type { McpMessageCallback } from "./inbox.js";
export type { McpClientOptions, McpResumeState, McpSendOptions } from "./options.js";
