/** Ordered channels whose heads move in any order: what a network may do, decided by a seed. */
import type { Choices } from "./random.js";

/** Tasks of one channel run in order; channels overtake each other. */
export class Network {
  private readonly channels = new Map<string, (() => void)[]>();

  constructor(private readonly choices: Choices) {}

  get idle(): boolean {
    return this.channels.size === 0;
  }

  send(channel: string, task: () => void): void {
    const queue = this.channels.get(channel);
    if (queue === undefined) this.channels.set(channel, [task]);
    else queue.push(task);
  }

  /** Runs the head of one channel; false when there is nothing to run. */
  step(): boolean {
    const keys = [...this.channels.keys()];
    if (keys.length === 0) return false;
    const key = this.choices.pick(keys);
    const queue = this.channels.get(key)!;
    const task = queue.shift()!;
    if (queue.length === 0) this.channels.delete(key);
    task();
    return true;
  }

  /** What a process that dies has not sent yet is never sent. */
  cut(owner: string): void {
    for (const key of [...this.channels.keys()]) if (key.startsWith(`${owner}|`)) this.channels.delete(key);
  }
}
