/** Clients of Myelin for Node.js: applications (`IpcClient`) and devices (`McpClient`). */

export type { McpMessage } from "@myelin/contract";
export { AppError, type ErrorCode } from "@myelin/kernel";
export * from "./ipc/index.js";
export * from "./mcp/index.js";
