/** Interned heads: one set of strings per (origin, channel), however many messages carry it. */
import type { BatchView, Head } from "@myelin/contract";

/** A head with the key by which messages of one device are kept in order. */
export interface KnownHead extends Head {
  readonly deviceKey: string;
}

/** Beyond this the table starts anew: some tens of megabytes of strings. */
const MAX_HEADS = 262_144;

/** Shared by all batches of a client. */
export class Heads {
  #count = 0;
  #scopes = new Map<string, Map<number, KnownHead>>();

  /** The heads of the view's origin; ask once per batch. */
  scopeOf(view: BatchView): Map<number, KnownHead> {
    if (this.#count > MAX_HEADS) {
      this.#count = 0;
      this.#scopes = new Map();
    }
    const key = `${view.producerIncarnation} ${view.producer}`;
    let scope = this.#scopes.get(key);
    if (scope === undefined) {
      scope = new Map();
      this.#scopes.set(key, scope);
      this.#count += 1;
    }
    return scope;
  }

  /** The head of the view's current envelope; channel 0 is decoded each time. */
  of(view: BatchView, scope: Map<number, KnownHead>): KnownHead {
    const { channel } = view;
    const known = scope.get(channel);
    if (known !== undefined && channel !== 0) return known;
    const head = view.head();
    const made: KnownHead = { ...head, deviceKey: `${head.tenant}\0${head.deviceId}` };
    if (channel !== 0) {
      scope.set(channel, made);
      this.#count += 1;
    }
    return made;
  }
}
