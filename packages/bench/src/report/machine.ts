/** What the figures were taken on. */
import { arch, availableParallelism, cpus, platform, release, totalmem } from "node:os";

/** As it stands in the JSON: `memory` in bytes, `date` in ISO 8601. */
export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly memory: number;
  readonly node: string;
  readonly kernel: string;
  readonly date: string;
}

export function describeMachine(now: Date): Machine {
  return {
    cpu: cpus()[0]?.model ?? "unknown",
    cores: availableParallelism(),
    memory: totalmem(),
    node: process.versions.node,
    kernel: `${platform()} ${release()} ${arch()}`,
    date: now.toISOString(),
  };
}
