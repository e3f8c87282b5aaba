/** Clients of Myelin for Node.js: applications (`IpcClient`) and devices (`McpClient`). */
export * from "./ipc/index.js";
export * from "./mcp/index.js";
