/** The commands of one partition, as its journal says: those under way, and the last ones that have ended. */
import type { command as wire } from "@myelin/contract";
import { applyProgress, isTerminal } from "./ladder.js";

/** Commands that have ended and are still known, of one partition; with them their idempotency keys. */
const MAX_ENDED = 20_000;
/** Devices and commands of one partition of which it is known what was allowed last. */
const MAX_ALLOWED = 100_000;
const COMMAND_BYTES = 512;

/** Keeps what the records say, and nothing else. */
export class CommandBook {
  /** In the order in which they were accepted. */
  readonly open = new Map<string, wire.Command>();
  /** In the order in which they have ended. */
  readonly #ended = new Map<string, wire.Command>();
  readonly #keys = new Map<string, string>();
  readonly #allowed = new Map<string, wire.LastAllowed>();

  constructor(private readonly maxEnded = MAX_ENDED) {}

  get size(): number {
    return this.open.size + this.#ended.size;
  }

  /** About what it takes in the journal. */
  get bytes(): number {
    return (this.size + this.#allowed.size / 4) * COMMAND_BYTES;
  }

  find(id: string): wire.Command | undefined {
    return this.open.get(id) ?? this.#ended.get(id);
  }

  /** The command of a device that an idempotency key stands for. */
  byKey(tenant: string, device: string, key: string): wire.Command | undefined {
    const id = this.#keys.get(keyOf(tenant, device, key));
    return id === undefined ? undefined : this.find(id);
  }

  /** What the safety envelope has let through last. */
  allowed(tenant: string, device: string, name: string): wire.LastAllowed | undefined {
    return this.#allowed.get(keyOf(tenant, device, name));
  }

  /** All of them, in no order that means anything. */
  *all(): Iterable<wire.Command> {
    yield* this.open.values();
    yield* this.#ended.values();
  }

  apply({ record }: wire.JournalRecord): void {
    switch (record?.$case) {
      case "command":
        this.#put(record.value);
        return;
      case "progress": {
        const command = this.open.get(record.value.id);
        if (command === undefined) return;
        applyProgress(command, record.value);
        this.settle(command);
        return;
      }
      case "allowed": {
        const { tenant, device, name, atUs } = record.value;
        const key = keyOf(tenant, device, name);
        this.#allowed.delete(key);
        // Nothing was allowed after all.
        if (atUs === 0) return;
        this.#allowed.set(key, record.value);
        if (this.#allowed.size > MAX_ALLOWED) forgetFirst(this.#allowed);
      }
    }
  }

  /** Moves a command that has ended to those; called after each progress. */
  settle(command: wire.Command): void {
    if (!isTerminal(command) || !this.open.delete(command.id)) return;
    this.#ended.set(command.id, command);
    if (this.#ended.size <= this.maxEnded) return;
    const forgotten = forgetFirst(this.#ended);
    if (forgotten === undefined || forgotten.idempotencyKey === "") return;
    const key = keyOf(forgotten.tenant, forgotten.device, forgotten.idempotencyKey);
    if (this.#keys.get(key) === forgotten.id) this.#keys.delete(key);
  }

  /** Everything, as records that make the same book. */
  *records(): Iterable<wire.JournalRecord> {
    for (const value of this.#allowed.values()) yield { record: { $case: "allowed", value } };
    for (const value of this.#ended.values()) yield { record: { $case: "command", value } };
    // Written later, when it may have come further already.
    for (const one of this.open.values())
      yield { record: { $case: "command", value: { ...one, steps: [...one.steps] } } };
  }

  #put(command: wire.Command): void {
    const { id, tenant, device, idempotencyKey } = command;
    this.open.set(id, command);
    if (idempotencyKey !== "") this.#keys.set(keyOf(tenant, device, idempotencyKey), id);
    this.settle(command);
  }
}

function keyOf(tenant: string, device: string, name: string): string {
  return `${tenant}\0${device}\0${name}`;
}

function forgetFirst<T>(map: Map<string, T>): T | undefined {
  for (const [key, value] of map) {
    map.delete(key);
    return value;
  }
  return undefined;
}
