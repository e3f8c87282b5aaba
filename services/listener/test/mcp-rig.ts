/** MCP connections without sockets: frames in, frames and envelopes out. */
import {
  encodeMcpFrame,
  type McpControl,
  type McpControlKind,
  McpFrameReader,
  type McpMessage,
  type McpMessageInit,
  Protocol,
} from "@myelin/contract";
import { silentLogger } from "@myelin/observability";
import type { ConnectionScope } from "../src/core/connection.js";
import { DEFAULT_CONNECTION_LIMITS } from "../src/core/limits.js";
import { McpConnection } from "../src/core/mcp/mcp-connection.js";
import { McpSessions } from "../src/core/mcp/mcp-sessions.js";
import { McpShared } from "../src/core/mcp/mcp-shared.js";
import type { ProtocolContext } from "../src/core/protocol.js";
import { MemoryBus, MemoryHub } from "./memory-bus.js";
import { type MqttRig, mqttRig, TestStream } from "./mqtt-rig.js";

export interface McpRig extends MqttRig {
  /** A device that has said hello, or one that has only connected. */
  device(deviceId?: string): McpDevice;
}

export function mcpRig(): McpRig {
  const rig = mqttRig();
  const { admission, clock, ingress, manager, metrics, sessions } = rig;
  const bus = new MemoryBus(new MemoryHub(), "listener-0");
  const settings = { resumeWindow: 300_000, maxSuspended: 10, maxMessages: 10, maxBytes: 10_000 };
  const mcpSessions = new McpSessions(bus, clock, silentLogger, metrics, settings);
  const ctx = {
    log: silentLogger,
    clock,
    admission,
    ingress,
    connections: manager,
    metrics,
    sessions,
    mcpSessions,
  };
  const scope: ConnectionScope = {
    manager,
    protocol: Protocol.TCP,
    kind: "tcp",
    port: "frames",
    limits: DEFAULT_CONNECTION_LIMITS,
  };
  const shared = new McpShared(ctx as unknown as ProtocolContext, scope, { datagrams: false });
  return {
    ...rig,
    device(deviceId) {
      const made = new McpDevice(shared);
      if (deviceId !== undefined) made.send({ control: { kind: "hello", version: 1, deviceId } });
      return made;
    },
  };
}

/** A device's end of a connection. */
export class McpDevice {
  readonly stream = new TestStream();
  readonly connection: McpConnection;
  private readonly received: McpMessage[] = [];
  private readonly reader = new McpFrameReader({
    onMessage: (view) => void this.received.push(view.toMessage()),
    onError: (error) => {
      throw error;
    },
    onSkipped: (bytes) => {
      throw new Error(`${bytes} bytes of garbage`);
    },
  });
  private read = 0;

  constructor(shared: McpShared) {
    this.connection = new McpConnection(shared, this.stream, "10.0.0.1");
    shared.scope.manager.add(this.connection);
  }

  send(...messages: McpMessageInit[]): void {
    this.raw(Buffer.concat(messages.map((message) => encodeMcpFrame(message))));
  }

  raw(bytes: Buffer): void {
    this.connection.onData(bytes);
  }

  /** What the listener has said of one kind since it was asked last. */
  heard<K extends McpControlKind>(kind: K): Extract<McpControl, { kind: K }>[] {
    this.connection.flush();
    const bytes = this.stream.written.subarray(this.read);
    this.read = this.stream.written.length;
    this.reader.push(bytes);
    const heard = this.received.flatMap(({ control }) => (control?.kind === kind ? [control] : []));
    this.received.length = 0;
    return heard as Extract<McpControl, { kind: K }>[];
  }
}
