/** Goes on with the wills of listeners that have died: the owners of their clients' partitions hand them to whoever runs. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, Protocol, subjects } from "@myelin/contract";
import type { Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { Presence } from "./presence.js";
import type { Sessions } from "./session.js";
import type { WillKeeper, WillOwner } from "./will-keeper.js";

export class WillAdoption implements Component {
  readonly name = "will-adoption";
  private end: Unsubscribe | undefined;

  constructor(
    private readonly bus: Bus,
    private readonly wills: WillKeeper,
    private readonly sessions: Sessions,
    private readonly presence: Presence,
    private readonly log: Logger,
  ) {}

  async start(): Promise<void> {
    this.end = this.bus.serve(subjects.lostWills(), (data) => this.adopt(data), { queue: "listeners" });
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
  }

  private adopt(data: Uint8Array): Uint8Array {
    for (const lost of control.LostWills.decode(data).wills) {
      try {
        this.take(lost);
      } catch (err) {
        // The others are not to wait for one that nobody can read.
        this.log.error(
          { err, device: lost.deviceId },
          "a will of a listener that has died cannot be published",
        );
      }
    }
    return DONE;
  }

  private take({ tenant, deviceId, protocol, will: bytes, lostMs }: control.LostWill): void {
    const session = this.sessions.get(tenant, deviceId);
    if (session !== undefined && session.protocol !== Protocol.HTTP) return;
    const will = control.KeptWill.decode(bytes);
    const { user, clientId, local } = will;
    const identity = {
      tenant,
      deviceId,
      user,
      ...(clientId !== "" && { clientId }),
      ...(local && { local }),
    };
    // Handed over twice, where the answer was lost.
    if (this.wills.of(identity)?.will.id.equals(will.id)) return;
    const owner: WillOwner = { identity, number: 0, protocol, address: "" };
    this.wills.keep(owner, will.delayMs - lostMs, will);
    if (this.wills.of(identity) !== undefined) this.presence.away(owner);
  }
}

const DONE = new Uint8Array(0);
