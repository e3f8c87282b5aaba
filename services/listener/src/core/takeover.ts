/** One connection per device over all listeners: whoever connects claims the device, whoever holds it longer lets go. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, Protocol, subjects } from "@myelin/contract";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import { deviceKey } from "./disconnect-log.js";
import { changeOf } from "./presence.js";
import type { Claimant, DeviceSession } from "./session.js";
import type { SessionDirectory, SessionListener } from "./session-directory.js";
import type { WillKeeper } from "./will-keeper.js";

/**
 * A claim is for a connection that has just begun, so a session older than this is the older one whatever the clocks of
 * the two machines say; below it their times decide.
 */
const SURELY_OLDER_US = 2_000_000;

/** Claims are gathered this long: when thousands of devices come back at once, each costs a line and not a message. */
const BATCH_MS = 10;

/** An answer takes two gatherings and the way there and back. */
const OBJECTION_MS = 100;

/** A question to the other listeners that has no answer yet. */
interface Question {
  readonly answer: Promise<boolean>;
  readonly settle: (held: boolean) => void;
}

/**
 * A claim for a session of HTTP asks: whoever holds a connection of another protocol keeps it and objects, by a claim of its own.
 */
export class Takeover implements Component, SessionListener {
  readonly name = "takeover";
  /** Sessions let go because the device connected elsewhere. */
  taken = 0;
  private readonly questions = new Map<string, Question>();
  private readonly claims = new Map<number, control.PresenceChange[]>();
  private end: Unsubscribe | undefined;
  private timer: Timer | undefined;
  /** How our own claims begin: NATS brings them back to us, and they need no decoding. */
  private readonly own: Uint8Array;

  constructor(
    private readonly bus: Bus,
    private readonly clock: Clock,
    private readonly directory: SessionDirectory,
    private readonly wills: WillKeeper,
    private readonly log: Logger,
  ) {
    const { instance: listener, incarnation } = bus;
    this.own = control.PresenceBatch.encode(control.PresenceBatch.create({ listener, incarnation })).finish();
  }

  async start(): Promise<void> {
    this.end = this.bus.subscribe(subjects.allSessionTakeovers(), (data) => this.onClaims(data));
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
    this.clock.clear(this.timer);
    this.timer = undefined;
    this.flush();
    for (const { settle } of this.questions.values()) settle(false);
  }

  opened(session: DeviceSession, partition: number): void {
    this.claim(session, partition, session.openedAtUs);
  }

  closed(): void {}

  ask(claimant: Claimant, partition: number): Promise<boolean> {
    const key = deviceKey(claimant.identity.tenant, claimant.identity.deviceId);
    const known = this.questions.get(key);
    if (known !== undefined) return known.answer;
    const { promise: answer, resolve } = Promise.withResolvers<boolean>();
    const timer = this.clock.setTimeout(() => settle(false), OBJECTION_MS);
    const settle = (held: boolean): void => {
      this.clock.clear(timer);
      this.questions.delete(key);
      resolve(held);
    };
    this.questions.set(key, { answer, settle });
    this.claim(claimant, partition, this.clock.wallUs());
    return answer;
  }

  private claim(claimant: Claimant, partition: number, atUs: number): void {
    this.timer ??= this.clock.setTimeout(() => this.flush(), BATCH_MS);
    const claims = this.claims.get(partition);
    const claim = changeOf(claimant, true, atUs, "");
    if (claims === undefined) this.claims.set(partition, [claim]);
    else claims.push(claim);
  }

  private flush(): void {
    this.timer = undefined;
    for (const [partition, changes] of this.claims) {
      const { instance: listener, incarnation } = this.bus;
      const claim = control.PresenceBatch.encode({
        listener,
        incarnation,
        partition,
        reset: false,
        changes,
      });
      this.bus.publish(subjects.sessionTakeover(partition), claim.finish());
    }
    this.claims.clear();
  }

  private onClaims(data: Uint8Array): void {
    if (beginsWith(data, this.own)) return;
    let batch: control.PresenceBatch;
    try {
      batch = control.PresenceBatch.decode(data);
    } catch (err) {
      this.log.warn({ err }, "a takeover claim cannot be read and is ignored");
      return;
    }
    const nowUs = this.clock.wallUs();
    for (const claim of batch.changes) {
      const stays = claim.protocol !== Protocol.HTTP;
      if (stays) {
        this.wills.back(claim, claim.beginsAnew);
        this.questions.get(deviceKey(claim.tenant, claim.deviceId))?.settle(true);
      }
      const session = this.directory.get(claim.tenant, claim.deviceId);
      if (session === undefined) continue;
      const isFetched = session.protocol === Protocol.HTTP;
      if (!stays && !isFetched) {
        this.opened(session, batch.partition);
        continue;
      }
      const older =
        (stays && isFetched) ||
        nowUs - session.openedAtUs > SURELY_OLDER_US ||
        session.openedAtUs < claim.atUs ||
        (session.openedAtUs === claim.atUs && this.bus.instance < batch.listener);
      if (!older) continue;
      this.taken += 1;
      session.takenOver(claim.beginsAnew);
    }
  }
}

function beginsWith(data: Uint8Array, prefix: Uint8Array): boolean {
  return data.length >= prefix.length && prefix.every((byte, i) => data[i] === byte);
}
