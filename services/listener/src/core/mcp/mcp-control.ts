/** Control messages of MCP: hello and who is let in, ping, acknowledgements, goodbye. */
import { MCP_VERSION, type McpControl, type McpMessageView } from "@myelin/contract";
import { AppError, isErrorCode } from "@myelin/kernel";
import type { ConnectVerdict, Identity } from "../admission.js";
import { HOLD } from "../connection.js";
import { TOKEN_USER } from "../http-auth.js";
import { certificateOf } from "../socket-peer.js";
import { ticksOf } from "../timing-wheel.js";
import type { McpConnection } from "./mcp-connection.js";
import type { McpSession } from "./mcp-session.js";
import { MCP_STATE } from "./mcp-state.js";

type Hello = Extract<McpControl, { kind: "hello" }>;

const MIN_HEARTBEAT_MS = 1_000;
const MAX_HEARTBEAT_MS = 3_600_000;
const MIN_FRAME_BYTES = 256;
const MAX_DEVICE_ID_BYTES = 256;

/** @throws AppError `protocol.*`, `contract.*`: the connection ends with it */
export function onControlMessage(c: McpConnection, view: McpMessageView): void {
  const control = view.controlField === 0 ? undefined : view.toMessage().control;
  if (c.state === MCP_STATE.fresh) {
    if (control?.kind !== "hello") throw new AppError("protocol.violation", "the first message is not hello");
    onHello(c, control);
    return;
  }
  if (c.state === MCP_STATE.admitting) {
    throw new AppError("protocol.violation", "nothing may be sent between hello and welcome");
  }
  switch (control?.kind) {
    case "ping":
      c.control({ kind: "pong", nonce: control.nonce });
      return;
    case "pong":
      return;
    case "ack":
      for (const id of control.ids) c.session!.settle(id);
      if (control.sequence > 0) c.session!.settleUpTo(control.sequence);
      return;
    case "error":
      onDeviceError(c, control);
      return;
    case "bye":
      c.bye();
      return;
    default:
      throw new AppError("protocol.violation", `a device does not send ${control?.kind ?? "this"} here`);
  }
}

/** The device refuses a message: whoever sent it hears the device's own code. */
function onDeviceError(c: McpConnection, error: Extract<McpControl, { kind: "error" }>): void {
  if (error.id === "") return;
  const { code, message, retryable } = error;
  const refusal = isErrorCode(code)
    ? new AppError(code, message, { retryable })
    : new AppError("device.refused", message, { retryable, details: { code } });
  c.session!.settle(error.id, refusal);
}

function onHello(c: McpConnection, hello: Hello): void {
  if (hello.version > MCP_VERSION) {
    throw new AppError(
      "contract.unsupported_version",
      `version ${hello.version} is not spoken, ${MCP_VERSION} is`,
    );
  }
  checkDeviceId(hello.deviceId);
  const { ctx } = c.shared;
  const byToken = hello.token !== "";
  const verdict = ctx.admission.connect({
    protocol: c.scope.kind,
    port: c.scope.port,
    address: c.address,
    certificate: certificateOf(c.stream),
    deviceId: hello.deviceId,
    user: byToken ? TOKEN_USER : hello.username || undefined,
    password: byToken ? Buffer.from(hello.token) : hello.password.length > 0 ? hello.password : undefined,
  });
  c.state = MCP_STATE.admitting;
  if (!(verdict instanceof Promise)) {
    decided(c, hello, verdict);
    return;
  }
  wait(c);
  void verdict.then((late) => decided(c, hello, late)).catch((thrown: unknown) => c.fail(thrown));
}

/** @throws AppError `protocol.malformed` */
function checkDeviceId(deviceId: string): void {
  if (
    deviceId === "" ||
    Buffer.byteLength(deviceId) > MAX_DEVICE_ID_BYTES ||
    /[\p{Cc}\uFFFD]/u.test(deviceId)
  ) {
    throw new AppError(
      "protocol.malformed",
      "a device id is 1 to 256 bytes of UTF-8 without control characters",
    );
  }
}

function wait(c: McpConnection): void {
  c.startWaiting();
  c.hold(HOLD.admission);
}

function decided(c: McpConnection, hello: Hello, verdict: ConnectVerdict): void {
  if (c.state !== MCP_STATE.admitting) return;
  const { ctx, scope } = c.shared;
  if (!verdict.allow) {
    ctx.metrics.refused.add(`${scope.kind},${verdict.code}`);
    c.disconnect("refused", new AppError(verdict.code, `${hello.deviceId} is not let in`));
    return;
  }
  const { identity } = verdict;
  const { resumeToken } = hello;
  const session = resumeToken.length === 0 ? undefined : ctx.mcpSessions.resume(resumeToken, identity);
  if (!(session instanceof Promise)) {
    begin(c, hello, identity, session);
    return;
  }
  wait(c);
  // So that a change of the rules finds it meanwhile.
  c.identity = identity;
  void session
    .then((late) => {
      // The device has left while its session was fetched: it waits for the next connection.
      if (c.state === MCP_STATE.admitting) begin(c, hello, identity, late);
      else if (late !== undefined) ctx.mcpSessions.suspend(late);
    })
    .catch((thrown: unknown) => c.fail(thrown));
}

function begin(c: McpConnection, hello: Hello, identity: Identity, resumed: McpSession | undefined): void {
  const { ctx, scope } = c.shared;
  const session = resumed ?? ctx.mcpSessions.create(identity);
  const older = session.connection;
  // What the older connection hears of from here on counts no more: its device sends it again over this one.
  session.connection = c;
  c.session = session;
  older?.disconnect("takeover");
  session.settleUpTo(hello.lastReceivedSequence);
  const heartbeatMs = heartbeatOf(c, hello.heartbeatMs);
  if (hello.maxFrameBytes > 0) c.maxFrameBytes = Math.max(MIN_FRAME_BYTES, hello.maxFrameBytes);
  c.state = MCP_STATE.ready;
  c.admitted(identity);
  ctx.sessions.open(c);
  c.control({
    kind: "welcome",
    version: MCP_VERSION,
    resumeToken: ctx.mcpSessions.tokenOf(session),
    resumed: resumed !== undefined,
    heartbeatMs,
    maxFrameBytes: scope.limits.maxFrameBytes,
    resumeWindowMs: ctx.mcpSessions.settings.resumeWindow,
    server: "myelin",
    lastStoredSequence: session.storedSequence,
    serverTimeUs: ctx.clock.wallUs(),
  });
  for (const frame of session.frames()) c.write(frame);
  if ((c.held & HOLD.admission) !== 0) c.release(HOLD.admission);
}

/** A device that wants another pace is given up after as many silent paces as the port's setting allows. */
function heartbeatOf(c: McpConnection, wanted: number): number {
  const { heartbeatMs, heartbeatMisses } = c.scope.limits;
  if (wanted === 0) return heartbeatMs;
  const ms = Math.min(Math.max(wanted, MIN_HEARTBEAT_MS), MAX_HEARTBEAT_MS);
  c.keepAliveTicks = ticksOf(ms * (heartbeatMisses + 1));
  return ms;
}
