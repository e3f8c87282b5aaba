/** MCP messages as callers see them: words instead of enum numbers, one tagged union for control messages. */
import * as wire from "../generated/myelin/mcp/v1/mcp.js";
import { type EnumName, enumNames } from "../wire/enum-names.js";
import { type Decodes, strictDecode } from "../wire/strict-decode.js";

/** How a message travels: `telemetry` is not acknowledged, `event` is once stored. */
export type McpLane = EnumName<typeof wire.DeliveryLane>;
/** How far a measured value can be trusted. */
export type McpQuality = EnumName<typeof wire.Quality>;
/** What became of a hardware command on the device. */
export type McpCommandOutcome = EnumName<typeof wire.CommandOutcome>;

export const mcpLanes = enumNames(wire.DeliveryLane);
export const mcpQualities = enumNames(wire.Quality);
export const mcpCommandOutcomes = enumNames(wire.CommandOutcome);

/** A command for a device's hardware; `params` are the command's arguments as text. */
export interface McpHardwareCommand {
  readonly deviceId: string;
  readonly command: string;
  readonly params: Readonly<Record<string, string>>;
}

/** A device's answer to a hardware command. */
export interface McpCommandResult {
  readonly commandId: string;
  readonly outcome: McpCommandOutcome | undefined;
  readonly code: string;
  readonly message: string;
  readonly readback: Uint8Array;
}

/** The body of each control message, by its kind. */
interface ControlBodies {
  readonly hello: Readonly<wire.Hello>;
  readonly welcome: Readonly<wire.Welcome>;
  readonly ping: Readonly<wire.Ping>;
  readonly pong: Readonly<wire.Pong>;
  readonly ack: Readonly<wire.Ack>;
  readonly error: Readonly<wire.Error>;
  readonly bye: Readonly<wire.Bye>;
}

/** Kinds of control messages: the session's own, beside data and commands. */
export type McpControlKind = keyof ControlBodies;

/** A control message as read: every field is there, zero or empty when it was not set. */
export type McpControl = {
  readonly [K in McpControlKind]: { readonly kind: K } & ControlBodies[K];
}[McpControlKind];

/** A control message to write: what is left out is not set. */
export type McpControlInit = {
  readonly [K in McpControlKind]: { readonly kind: K } & {
    readonly [F in keyof ControlBodies[K]]?: ControlBodies[K][F] extends Buffer
      ? Uint8Array
      : ControlBodies[K][F];
  };
}[McpControlKind];

/** A message as read. Strings are empty and numbers 0 when not set; the meaning of each field is in `mcp.proto`. */
export interface McpMessage {
  readonly id: string;
  readonly type: string;
  readonly payload: Buffer;
  readonly hardware: McpHardwareCommand | undefined;
  readonly version: number;
  readonly sequence: number;
  readonly ttlMs: number;
  readonly traceparent: string;
  readonly tracestate: string;
  readonly versionVector: readonly Readonly<wire.VersionCount>[];
  readonly sourceTimeUs: number;
  readonly contentType: string;
  readonly deviceId: string;
  readonly lane: McpLane | undefined;
  readonly responsePath: string;
  readonly correlation: Buffer;
  readonly replayed: boolean;
  readonly quality: McpQuality | undefined;
  readonly result: McpCommandResult | undefined;
  readonly control: McpControl | undefined;
}

type Init<T> = { readonly [K in keyof T]?: T[K] extends Buffer ? Uint8Array : T[K] | undefined };

/** A message to write: what is left out is not set. */
export interface McpMessageInit extends Init<Omit<McpMessage, "control" | "hardware" | "result">> {
  readonly hardware?: Partial<McpHardwareCommand> | undefined;
  readonly result?: Partial<McpCommandResult> | undefined;
  readonly control?: McpControlInit | undefined;
}

function toBuffer(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** The generated form of a message, for the generated encoder. Shares payload bytes with its argument. */
export function toWireMessage(message: McpMessageInit): wire.MCPMessage {
  const { control, lane, quality, result, ...rest } = message;
  const partial = {
    ...rest,
    lane: mcpLanes.toWire(lane),
    quality: mcpQualities.toWire(quality),
    result: result && { ...result, outcome: mcpCommandOutcomes.toWire(result.outcome) },
    control: control && { $case: control.kind, value: control },
  };
  const out = wire.MCPMessage.fromPartial(partial as Parameters<typeof wire.MCPMessage.fromPartial>[0]);
  out.payload = toBuffer(out.payload);
  return out;
}

const CONTROLS = {
  hello: wire.Hello,
  welcome: wire.Welcome,
  ping: wire.Ping,
  pong: wire.Pong,
  ack: wire.Ack,
  error: wire.Error,
  bye: wire.Bye,
} as const satisfies { [K in McpControlKind]: Decodes<ControlBodies[K]> };

/** Decodes the body of a control message with the generated code; throws whatever that throws. */
export function decodeControl(kind: McpControlKind, body: Uint8Array): McpControl {
  return { kind, ...strictDecode<object>(CONTROLS[kind], body) } as McpControl;
}

/** As `decodeControl`, for the body of a hardware command. */
export function decodeHardware(body: Uint8Array): McpHardwareCommand {
  return strictDecode(wire.HardwareCommand, body);
}

/** As `decodeControl`, for the result of a hardware command. */
export function decodeResult(body: Uint8Array): McpCommandResult {
  const result = strictDecode(wire.CommandResult, body);
  return { ...result, outcome: mcpCommandOutcomes.fromWire(result.outcome) };
}

/** As `decodeControl`, for one entry of the version vector. */
export function decodeVersionCount(body: Uint8Array): wire.VersionCount {
  return strictDecode(wire.VersionCount, body);
}
