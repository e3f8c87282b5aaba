/** How far an MCP connection has come. */

/** `fresh`: no hello yet; `admitting`: waiting for admission or for a session; `closed`: nothing is read or written. */
export const MCP_STATE = { fresh: 0, admitting: 1, ready: 2, closed: 3 } as const;
/** One of `MCP_STATE`. */
export type McpState = (typeof MCP_STATE)[keyof typeof MCP_STATE];
