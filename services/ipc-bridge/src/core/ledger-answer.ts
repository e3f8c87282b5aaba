/** Answers `ledgerQuery` with the bridge's books. */
import type { Bus, Unsubscribe } from "@myelin/bus";
import { control, subjects } from "@myelin/contract";
import type { Clock, Component } from "@myelin/kernel";

/** `accounts` is called per query. */
export class LedgerAnswer implements Component {
  readonly name = "ledger";
  readonly #bus: Bus;
  readonly #clock: Clock;
  readonly #accounts: () => control.LedgerAccount[];
  #end: Unsubscribe | undefined;

  constructor(bus: Bus, clock: Clock, accounts: () => control.LedgerAccount[]) {
    this.#bus = bus;
    this.#clock = clock;
    this.#accounts = accounts;
  }

  async start(): Promise<void> {
    this.#end = this.#bus.serve(subjects.ledgerQuery(), () =>
      control.LedgerSnapshot.encode(this.snapshot()).finish(),
    );
  }

  async stop(): Promise<void> {
    this.#end?.();
    this.#end = undefined;
  }

  snapshot(): control.LedgerSnapshot {
    return {
      service: "ipc-bridge",
      instance: this.#bus.instance,
      incarnation: this.#bus.incarnation,
      atUs: this.#clock.wallUs(),
      accounts: this.#accounts(),
      closed: [],
    };
  }
}
