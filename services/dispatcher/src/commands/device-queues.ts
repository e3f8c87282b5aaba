/** What waits for each device, in the order in which it is to be given. */
import { command as wire } from "@myelin/contract";
import { stateOf } from "./ladder.js";

const { State, Risk } = wire;

interface Waiting {
  readonly command: wire.Command;
  /** Monotonic; not given again before. */
  atMs: number;
  isUnderWay: boolean;
}

interface Queue {
  readonly tenant: string;
  readonly device: string;
  /** Neither delivered nor ended. */
  readonly waiting: Map<string, Waiting>;
  /** Under way and to be read back. */
  readonly verifying: Map<string, wire.Command>;
  size: number;
  underWay: number;
}

const NONE: readonly wire.Command[] = [];

/** One per partition. */
export class DeviceQueues {
  readonly #queues = new Map<string, Queue>();

  static keyOf(tenant: string, device: string): string {
    return `${tenant}\0${device}`;
  }

  add(command: wire.Command): void {
    const { tenant, device, id } = command;
    const key = DeviceQueues.keyOf(tenant, device);
    let queue = this.#queues.get(key);
    if (queue === undefined) {
      queue = { tenant, device, waiting: new Map(), verifying: new Map(), size: 0, underWay: 0 };
      this.#queues.set(key, queue);
    }
    queue.size += 1;
    if (stateOf(command) < State.DELIVERED)
      queue.waiting.set(id, { command, atMs: Number.NEGATIVE_INFINITY, isUnderWay: false });
    if (command.verify !== undefined) queue.verifying.set(id, command);
  }

  /** The command has ended. */
  remove(command: wire.Command): void {
    const key = DeviceQueues.keyOf(command.tenant, command.device);
    const queue = this.#queues.get(key);
    if (queue === undefined) return;
    this.#leave(queue, command);
    queue.verifying.delete(command.id);
    queue.size -= 1;
    if (queue.size === 0) this.#queues.delete(key);
  }

  /** The device has it: it is not given again. */
  settled(command: wire.Command): void {
    const queue = this.#of(command);
    if (queue !== undefined) this.#leave(queue, command);
  }

  sizeOf(tenant: string, device: string): number {
    return this.#queues.get(DeviceQueues.keyOf(tenant, device))?.size ?? 0;
  }

  verifying(key: string): Iterable<wire.Command> {
    const queue = this.#queues.get(key);
    return queue === undefined || queue.verifying.size === 0 ? NONE : [...queue.verifying.values()];
  }

  /** What is to be given now: a stop whenever there is one, another when nothing is under way. */
  next(tenant: string, device: string, nowMs: number): wire.Command | undefined {
    const queue = this.#queues.get(DeviceQueues.keyOf(tenant, device));
    if (queue === undefined) return undefined;
    let best: wire.Command | undefined;
    for (const { command, atMs, isUnderWay } of queue.waiting.values()) {
      if (isUnderWay || atMs > nowMs) continue;
      if (command.mayHaveRun && !command.redeliver) continue;
      if (queue.underWay > 0 && command.risk !== Risk.STOP) continue;
      if (best === undefined || goesBefore(command, best)) best = command;
    }
    return best;
  }

  given(command: wire.Command): void {
    const queue = this.#of(command);
    const waiting = queue?.waiting.get(command.id);
    if (queue === undefined || waiting === undefined || waiting.isUnderWay) return;
    waiting.isUnderWay = true;
    queue.underWay += 1;
  }

  /** It is not under way any more. */
  done(command: wire.Command): void {
    const queue = this.#of(command);
    const waiting = queue?.waiting.get(command.id);
    if (queue === undefined || waiting?.isUnderWay !== true) return;
    waiting.isUnderWay = false;
    queue.underWay -= 1;
  }

  /** Not given again before; infinite: not before the device comes anew. */
  later(command: wire.Command, atMs: number): void {
    const waiting = this.#of(command)?.waiting.get(command.id);
    if (waiting !== undefined) waiting.atMs = atMs;
  }

  /** The device has come anew. */
  retryNow(tenant: string, device: string): void {
    const queue = this.#queues.get(DeviceQueues.keyOf(tenant, device));
    for (const waiting of queue?.waiting.values() ?? []) waiting.atMs = Number.NEGATIVE_INFINITY;
  }

  /** Devices for which something may be given. */
  *due(nowMs: number): Iterable<{ readonly tenant: string; readonly device: string }> {
    for (const queue of this.#queues.values())
      if (this.next(queue.tenant, queue.device, nowMs) !== undefined) yield queue;
  }

  #of({ tenant, device }: wire.Command): Queue | undefined {
    return this.#queues.get(DeviceQueues.keyOf(tenant, device));
  }

  #leave(queue: Queue, { id }: wire.Command): void {
    if (queue.waiting.get(id)?.isUnderWay === true) queue.underWay -= 1;
    queue.waiting.delete(id);
  }
}

function goesBefore(a: wire.Command, b: wire.Command): boolean {
  const [stopA, stopB] = [a.risk === Risk.STOP, b.risk === Risk.STOP];
  if (stopA !== stopB) return stopA;
  if (a.priority !== b.priority) return a.priority > b.priority;
  return a.createdAtUs < b.createdAtUs;
}
