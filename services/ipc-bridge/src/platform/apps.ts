import type { KnownInstance } from "../core/announcer.js";
import type { PlatformContext, PlatformMethod } from "../core/platform-method.js";

interface AppSummary {
  readonly app: string;
  readonly instances: Omit<KnownInstance, "app">[];
}

/** `platform/apps`: the apps connected to any bridge, with their instances and what those answer. */
export function apps(context: PlatformContext): PlatformMethod {
  return {
    name: "apps",
    call: async () => {
      const byName = new Map<string, AppSummary>();
      for (const { app, ...instance } of context.apps()) {
        const summary = byName.get(app) ?? { app, instances: [] };
        summary.instances.push(instance);
        byName.set(app, summary);
      }
      return { apps: [...byName.values()].sort((a, b) => (a.app < b.app ? -1 : 1)) };
    },
  };
}
