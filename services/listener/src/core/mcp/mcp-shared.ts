/** What the MCP connections of one port share. */
import { McpMessageView } from "@myelin/contract";
import type { ConnectionScope } from "../connection.js";
import type { Traffic } from "../metrics.js";
import type { ProtocolContext } from "../protocol.js";
import type { McpConnection } from "./mcp-connection.js";

/** How a port speaks MCP. */
export interface McpOptions {
  /** Datagrams get lost and overtake each other: acks name ids only, and each frame is written by itself. */
  readonly datagrams: boolean;
}

/** One per port. */
export class McpShared {
  /** Valid while one message is handled. */
  readonly view = new McpMessageView();
  readonly traffic: Traffic;
  private dirty: McpConnection[] = [];
  private spare: McpConnection[] = [];

  constructor(
    readonly ctx: ProtocolContext,
    readonly scope: ConnectionScope,
    readonly options: McpOptions,
  ) {
    this.traffic = ctx.metrics.traffic(scope.kind);
  }

  /** Metric label of what goes wrong. */
  malformed(reason: string): void {
    this.ctx.metrics.malformed.add(`${this.scope.kind},${reason}`);
  }

  /** Calls `flush` when the running callback is done: everything until then goes out in one piece. */
  flushLater(connection: McpConnection): void {
    if (this.dirty.length === 0) queueMicrotask(this.flushAll);
    this.dirty.push(connection);
  }

  private readonly flushAll = (): void => {
    const list = this.dirty;
    this.dirty = this.spare;
    this.spare = list;
    for (const connection of list) connection.flush();
    list.length = 0;
  };
}
