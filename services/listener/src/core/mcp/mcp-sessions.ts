/** All MCP sessions of the process: made, resumed here or from another listener, forgotten when their time is over. */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Identity } from "../admission.js";
import type { ListenerMetrics } from "../metrics.js";
import { McpSession, type SessionLimits } from "./mcp-session.js";
import { encodeResumeToken, type ResumeToken, tryDecodeResumeToken } from "./resume-token.js";

const SWEEP_MS = 1_000;
const CLAIM_TIMEOUT_MS = 2_000;
const KEY_BYTES = 32;
const SECRET_BYTES = 16;

/** Settings of all sessions of the process. */
export interface McpSessionSettings extends SessionLimits {
  /** Milliseconds that a session outlives its connection; 0: not at all. */
  readonly resumeWindow: number;
  /** Sessions without a connection; beyond it the one that lost its connection first is forgotten. */
  readonly maxSuspended: number;
}

export class McpSessions implements Component {
  readonly name = "mcp-sessions";
  /** Plain numbers for metrics. */
  readonly counters = { resumedHere: 0, claimed: 0, givenAway: 0, expired: 0, unknown: 0 };
  private readonly byId = new Map<number, McpSession>();
  /** In the order in which they lost their connections. */
  private readonly suspended = new Set<McpSession>();
  /** A session's secret is made from it and the session's id: 16 bytes of each would cost a buffer of 400. */
  private readonly key = randomBytes(KEY_BYTES);
  private nextId = 1;
  private sweeping: Timer | undefined;
  private end: Unsubscribe | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly log: Logger,
    private readonly metrics: ListenerMetrics,
    readonly settings: McpSessionSettings,
  ) {}

  async start(): Promise<void> {
    this.end = this.bus.serve(subjects.sessionClaim(this.bus.instance), (data) => this.onClaim(data));
    this.sweeping = this.clock.setInterval(() => this.sweep(), SWEEP_MS).unref();
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
    this.clock.clear(this.sweeping);
    this.sweeping = undefined;
    for (const session of [...this.byId.values()]) this.forget(session);
  }

  get size(): number {
    return this.byId.size;
  }

  get suspendedSize(): number {
    return this.suspended.size;
  }

  create(identity: Identity): McpSession {
    const session = new McpSession(this.nextId++, identity, this.settings);
    this.byId.set(session.id, session);
    return session;
  }

  tokenOf(session: McpSession): Buffer {
    const { instance, incarnation } = this.bus;
    return encodeResumeToken({
      instance,
      incarnation,
      session: session.id,
      secret: this.secretOf(session.id),
    });
  }

  /**
   * The session of a token, for the device that was admitted; undefined when it is over. At once where it is here, else after
   * the listener that has it was asked. Never rejects: a session that cannot be had is begun anew.
   */
  resume(token: Buffer, identity: Identity): McpSession | undefined | Promise<McpSession | undefined> {
    const read = tryDecodeResumeToken(token);
    if (read === undefined) return this.unknown();
    if (read.instance !== this.bus.instance) return this.claim(read, token, identity);
    const session = this.find(read, identity.tenant, identity.deviceId);
    if (session === undefined) return this.unknown();
    this.suspended.delete(session);
    this.counters.resumedHere += 1;
    return session;
  }

  /** Its connection is gone: it waits for the next one. */
  suspend(session: McpSession): void {
    const { resumeWindow, maxSuspended } = this.settings;
    session.connection = undefined;
    if (this.byId.get(session.id) !== session) return;
    if (resumeWindow === 0) {
      this.forget(session);
      return;
    }
    session.expiresAtMs = this.clock.nowMs() + resumeWindow;
    this.suspended.add(session);
    if (this.suspended.size > maxSuspended) this.forget(this.suspended.values().next().value!);
  }

  /** It ends for good. */
  forget(session: McpSession): void {
    this.suspended.delete(session);
    this.byId.delete(session.id);
    const left = session.giveUp();
    if (left > 0) this.metrics.undelivered.add("mcp,session_ended", left);
  }

  private sweep(): void {
    const nowMs = this.clock.nowMs();
    for (const session of this.suspended) {
      if (session.expiresAtMs > nowMs) return;
      this.counters.expired += 1;
      this.forget(session);
    }
  }

  private unknown(): undefined {
    this.counters.unknown += 1;
    return undefined;
  }

  private find(token: ResumeToken, tenant: string, deviceId: string): McpSession | undefined {
    if (token.incarnation !== this.bus.incarnation) return undefined;
    if (!timingSafeEqual(token.secret, this.secretOf(token.session))) return undefined;
    const session = this.byId.get(token.session);
    return session?.isOf(tenant, deviceId) ? session : undefined;
  }

  private secretOf(id: number): Buffer {
    return createHmac("sha256", this.key).update(String(id)).digest().subarray(0, SECRET_BYTES);
  }

  private async claim(
    token: ResumeToken,
    resumeToken: Buffer,
    identity: Identity,
  ): Promise<McpSession | undefined> {
    const { tenant, deviceId } = identity;
    try {
      const request = control.SessionClaim.encode({ resumeToken, tenant, deviceId }).finish();
      const answer = await this.bus.request(subjects.sessionClaim(token.instance), request, CLAIM_TIMEOUT_MS);
      const state = control.SessionState.decode(answer);
      if (!state.found) return this.unknown();
      const session = this.create(identity);
      session.restore(state);
      this.counters.claimed += 1;
      return session;
    } catch (err) {
      // The other listener is gone, and what it kept with it: the device begins anew and sends again what was not acknowledged.
      this.log.info({ listener: token.instance, err }, "a session could not be claimed, a new one begins");
      return this.unknown();
    }
  }

  private onClaim(data: Uint8Array): Uint8Array {
    const claim = control.SessionClaim.decode(data);
    const token = tryDecodeResumeToken(claim.resumeToken);
    const session = token && this.find(token, claim.tenant, claim.deviceId);
    if (session === undefined) return control.SessionState.encode(NOT_FOUND).finish();
    const state = control.SessionState.encode(session.toState()).finish();
    // The old connection may be half open: it is the one that has to go.
    const { connection } = session;
    session.connection = undefined;
    connection?.disconnect("takeover");
    this.suspended.delete(session);
    this.byId.delete(session.id);
    session.giveUp();
    this.counters.givenAway += 1;
    return state;
  }
}

const NOT_FOUND: control.SessionState = { found: false, storedSequence: 0, nextSequence: 0, messages: [] };
