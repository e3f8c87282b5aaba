/** Clients of Myelin for Node.js: applications (`IpcClient`). */
export * from "./ipc/index.js";
