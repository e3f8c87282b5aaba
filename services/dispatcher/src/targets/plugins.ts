/** Loads the target plugins of the registry, once per process. */
import { AppError } from "@myelin/kernel";
import { targets } from "./registry.js";
import type { TargetPlugin } from "./target.js";

/** Plugins by kind. */
export class TargetPlugins {
  private constructor(private readonly plugins: ReadonlyMap<string, TargetPlugin<never>>) {}

  /** Imports every kind: they are small, and none of them brings a library along. */
  static async load(): Promise<TargetPlugins> {
    const plugins = new Map<string, TargetPlugin<never>>();
    for (const [kind, load] of Object.entries(targets)) {
      const { plugin } = (await load()) as { plugin: TargetPlugin<never> };
      if (plugin.kind !== kind) {
        throw new AppError(
          "internal.unreachable",
          `the target in folder ${kind} calls itself ${plugin.kind}`,
        );
      }
      plugins.set(kind, plugin);
    }
    return new TargetPlugins(plugins);
  }

  /** @throws AppError `route.invalid` for a kind that is not there */
  of(kind: string): TargetPlugin<never> {
    const plugin = this.plugins.get(kind);
    if (plugin !== undefined) return plugin;
    throw new AppError(
      "route.invalid",
      `there is no target kind ${kind}; known are ${[...this.plugins.keys()].join(", ")}`,
    );
  }
}
