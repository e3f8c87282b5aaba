/** A bridge while it is up: a session here, a connection to the broker, and what goes from one to the other. */
import { Protocol } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { IPublishPacket } from "mqtt-packet";
import { Connection, type ConnectionScope, type DisconnectReason, HOLD } from "../../core/connection.js";
import { DEFAULT_CONNECTION_LIMITS } from "../../core/limits.js";
import type { ProtocolFacts, SubscriptionOptions } from "../../core/operations-facts.js";
import {
  FIRST_LOCAL_PACKET_ID,
  type HolderLoss,
  type KeptMessage,
  type KeptSession,
  NEVER_EXPIRES,
  type QueueBounds,
  type SessionHolder,
} from "../../core/session-home.js";
import type { Subscriber, SubscriberMessage } from "../../core/subscriptions.js";
import type { BridgeContext } from "../bridge.js";
import { Intake, type IntakeOwner } from "./intake.js";
import { Outgoing, type OutgoingRules } from "./outgoing.js";
import { type Offer, Remote, type RemoteSink, type RemoteSpec } from "./remote.js";
import { optionsOfTag, type TopicMaps } from "./topic-maps.js";

export interface ConnectionSettings {
  readonly remote: RemoteSpec;
  readonly clientId: string;
  readonly maps: TopicMaps;
  readonly outbox: QueueBounds;
  readonly rules: OutgoingRules;
  /** Asked for at the broker before, and wanted no longer. */
  readonly formerFilters: readonly string[];
  /** Both sides are there. */
  readonly onUp: () => void;
  /** The broker gives nothing of these filters. */
  readonly onRefused: (filters: readonly string[]) => void;
}

const SUBSCRIBE_WITHIN_MS = 30_000;

export function scopeOf({ connections: manager, name: port }: BridgeContext): ConnectionScope {
  const limits = { ...DEFAULT_CONNECTION_LIMITS, firstPacketMs: 0, heartbeatMs: 0 };
  return { manager, protocol: Protocol.BRIDGE, kind: "bridge", port, limits };
}

export class BridgeConnection
  extends Connection
  implements Subscriber, SessionHolder, RemoteSink, IntakeOwner
{
  /** Resolves with the reason when nothing of it is left but what was taken and is not stored. */
  readonly ended: Promise<AppError>;
  private readonly end: (error: AppError) => void;
  private remote: Remote | undefined;
  private kept: KeptSession | undefined;
  private intake: Intake | undefined;
  private outgoing: Outgoing | undefined;
  private error: AppError | undefined;
  private ending: DisconnectReason = "lost";
  private expirySeconds = NEVER_EXPIRES;
  private onIdle: (() => void) | undefined;
  private readonly waiters = new Set<(error: AppError) => void>();

  constructor(
    scope: ConnectionScope,
    address: string,
    private readonly ctx: BridgeContext,
    private readonly settings: ConnectionSettings,
  ) {
    super(scope, address);
    const { promise, resolve } = Promise.withResolvers<AppError>();
    this.ended = promise;
    this.end = resolve;
  }

  /** Opens the session here first, so that what is to go out is kept from then on, and then goes to the broker. */
  async open(): Promise<void> {
    const { ctx, settings } = this;
    ctx.connections.add(this);
    this.admitted(ctx.identity);
    try {
      const receiveMaximum = FIRST_LOCAL_PACKET_ID - 1;
      const request = {
        identity: ctx.identity,
        clean: false,
        expirySeconds: NEVER_EXPIRES,
        receiveMaximum,
        bounds: settings.outbox,
      };
      const kept = await ctx.sessionHomes.open(request, this);
      this.kept = kept;
      if (this.gone) {
        kept.closed(this.expirySeconds);
        return;
      }
      this.intake = new Intake(this, ctx, settings.maps, kept, settings.rules);
      await this.placeFilters(kept);
      this.mustHaveLease();
      if (this.gone) return;
      this.remote = await Remote.open(settings.remote, settings.clientId, this, ctx.clock);
      if (this.gone) this.remote.destroy();
    } catch (thrown) {
      this.fail(AppError.from(thrown));
    }
  }

  accepted(offer: Offer): void {
    const { ctx, settings, remote, kept, intake } = this;
    if (this.gone || remote === undefined || kept === undefined || intake === undefined) return;
    if (!offer.sessionPresent) intake.forgetHandshakes();
    this.outgoing = new Outgoing(remote, offer, ctx, settings.maps, kept, settings.rules, (error) =>
      this.fail(error),
    );
    this.openedAtUs = ctx.clock.wallUs();
    for (const { filter, tag } of settings.maps.local) {
      if ((tag & 3) === 0) ctx.subscriptions.add(this, filter, tag);
    }
    kept.begin();
    void this.askBroker(remote);
  }

  published(packet: IPublishPacket, next: () => void): void {
    if (this.gone || !this.mustHaveLease()) return;
    this.intake?.published(packet, next);
  }

  released(packetId: number): void {
    if (!this.gone) this.intake?.released(packetId);
  }

  answered(answer: "puback" | "pubrec" | "pubcomp", packetId: number, reason: number): void {
    if (!this.gone) this.outgoing?.answered(answer, packetId, reason);
  }

  drained(): void {
    // What waits is bounded by the session's window; messages of QoS 0 look at the buffer themselves.
  }

  closed(error: AppError): void {
    this.fail(this.error ?? error);
  }

  mustHold(bytes: number): boolean {
    return this.scope.manager.mustHold(this, bytes);
  }

  answer(bytes: Buffer): void {
    this.remote?.write(bytes);
  }

  failed(error: AppError): void {
    this.fail(error);
  }

  settledAll(): void {
    this.onIdle?.();
    if (this.gone) this.leaveHome();
  }

  deliver(message: SubscriberMessage, tags: readonly number[]): boolean {
    if (message.deviceId === this.identity.deviceId) return true;
    return this.outgoing?.deliverMatched(message, tags) ?? false;
  }

  deliverKept(kept: KeptMessage): boolean {
    // What a connection that ends is given stays at home.
    if (this.gone || this.outgoing === undefined || !this.mustHaveLease()) return true;
    return this.outgoing.deliver(kept);
  }

  sendPubrel(packetId: number): void {
    if (!this.gone) this.outgoing?.release(packetId);
  }

  incomingRecorded(packetId: number): void {
    this.intake?.recorded(packetId);
  }

  sendPubcomp(packetId: number): void {
    this.intake?.completed(packetId);
  }

  sessionLost(why: HolderLoss): void {
    if (why !== "taken_over") this.kept = undefined;
    this.fail(
      new AppError("session.lost", `the session of the bridge is no longer this connection's: ${why}`),
    );
  }

  override rulesChanged(): void {
    const { admission, identity } = this.ctx;
    const denied = this.settings.maps.local.find(({ filter }) => !admission.subscribe(identity, filter));
    if (denied !== undefined) this.revoked(denied.filter);
  }

  disconnect(reason: DisconnectReason, error?: AppError): void {
    this.ending = reason;
    this.fail(error ?? new AppError("operation.aborted", `the bridge was disconnected: ${reason}`));
  }

  /** Takes nothing more, waits until what was taken is stored and answered, and ends. @param keep false: the outbox goes too */
  async close(keep: boolean, withinMs: number): Promise<void> {
    const { clock } = this.ctx;
    this.hold(HOLD.drain);
    if (!keep) this.expirySeconds = 0;
    if ((this.intake?.unstored ?? 0) > 0 && !this.gone) {
      const { promise, resolve } = Promise.withResolvers<void>();
      const timer = clock.setTimeout(resolve, withinMs);
      this.onIdle = resolve;
      await promise;
      clock.clear(timer);
    }
    this.disconnect("drain", new AppError("operation.aborted", "the bridge was stopped"));
  }

  override get versionName(): string {
    return this.settings.remote.version;
  }

  override get keptFilters(): ReadonlyMap<string, number> {
    return new Map(this.settings.maps.local.map(({ filter, tag }) => [filter, tag]));
  }

  override get inflightMessages(): number {
    return this.outgoing?.figures.inflight ?? 0;
  }

  override get queuedMessages(): number {
    return this.outgoing?.figures.queued ?? 0;
  }

  override facts(): ProtocolFacts {
    return { persistent: true, sessionExpirySeconds: NEVER_EXPIRES, ...this.outgoing?.figures };
  }

  override subscriptionOptions(tag: number): SubscriptionOptions {
    return optionsOfTag(tag);
  }

  protected pauseReading(): void {
    // Whoever brings a message next sees that it must wait.
  }

  protected resumeReading(): void {
    this.intake?.resume();
  }

  /** Filters above QoS 0 are matched by the home, whether the broker is there or not. */
  private async placeFilters(kept: KeptSession): Promise<void> {
    const { admission, identity } = this.ctx;
    const { maps } = this.settings;
    const denied = maps.local.find(({ filter }) => !admission.subscribe(identity, filter));
    if (denied !== undefined) {
      throw new AppError("auth.not_authorized", `${identity.deviceId} may not subscribe to ${denied.filter}`);
    }
    const wanted = new Map(maps.local.filter(({ tag }) => (tag & 3) > 0).map((of) => [of.filter, of]));
    const before = new Map(kept.filters.map(({ filter, tag }) => [filter, tag]));
    const gone = [...before.keys()].filter((filter) => !wanted.has(filter));
    const changed = [...wanted.values()].filter(({ filter, tag }) => before.get(filter) !== tag);
    if (gone.length > 0) await kept.unsubscribe(gone);
    if (changed.length > 0) await kept.subscribe(changed);
  }

  private async askBroker(remote: Remote): Promise<void> {
    const { maps, formerFilters, onUp, onRefused } = this.settings;
    try {
      remote.unsubscribe(formerFilters);
      if (maps.remote.length > 0) {
        const refused = await this.within(remote.subscribe(maps.remote));
        if (refused.length > 0) onRefused(refused);
      }
      if (!this.gone) onUp();
    } catch (thrown) {
      this.fail(AppError.from(thrown));
    }
  }

  private async within<T>(answer: Promise<T>): Promise<T> {
    const { clock } = this.ctx;
    const { promise, reject } = Promise.withResolvers<never>();
    const text = "the broker has not answered SUBSCRIBE in time";
    const timer = clock.setTimeout(() => reject(new AppError("request.timeout", text)), SUBSCRIBE_WITHIN_MS);
    this.waiters.add(reject);
    try {
      return await Promise.race([answer, promise]);
    } finally {
      clock.clear(timer);
      this.waiters.delete(reject);
    }
  }

  /** Somebody else may be at work: nothing more is taken or said. */
  private mustHaveLease(): boolean {
    if (this.ctx.isHeld()) return true;
    this.fail(new AppError("session.lost", "another listener may run the bridge"));
    return false;
  }

  private fail(error: AppError): void {
    if (this.gone) return;
    this.error ??= error;
    const { ctx, remote } = this;
    ctx.subscriptions.removeAll(this);
    ctx.connections.remove(this, this.ending);
    this.intake?.close();
    for (const reject of this.waiters) reject(error);
    if (this.ending === "drain" || this.ending === "administrative") remote?.end();
    else remote?.destroy();
    // What is being stored is said to the home before it hears of the end.
    if ((this.intake?.unstored ?? 0) === 0) this.leaveHome();
    this.end(error);
  }

  private leaveHome(): void {
    this.kept?.closed(this.expirySeconds);
    this.kept = undefined;
  }
}
