/** Takes from clients that are connected what a change of the rules takes away: their connection, or a subscription. */
import { AppError, type Component } from "@myelin/kernel";
import type { Admission } from "./admission.js";
import type { ConnectionManager } from "./connection-manager.js";
import type { SubscriptionTable } from "./subscription-table.js";

/** What a client may publish needs no help: its channels are of a generation of rules, see `Ingress.channelFor`. */
export class Revocation implements Component {
  readonly name = "revocation";
  private end: (() => void) | undefined;

  constructor(
    private readonly admission: Admission,
    private readonly connections: ConnectionManager,
    private readonly subscriptions: SubscriptionTable,
  ) {}

  async start(): Promise<void> {
    this.end = this.admission.onChange((isRevoked) => {
      for (const connection of [...this.connections.connections()]) {
        if (!isRevoked(connection.identity)) {
          connection.rulesChanged?.();
          continue;
        }
        connection.disconnect(
          "revoked",
          new AppError("auth.bad_credentials", "the user has changed: log in again"),
        );
      }
      this.subscriptions.recheck((identity, filter) => this.admission.subscribe(identity, filter));
    });
  }

  async stop(): Promise<void> {
    this.end?.();
    this.end = undefined;
  }
}
