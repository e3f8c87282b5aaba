/** Loads the kinds of actions, once per process. */
import { AppError } from "@myelin/kernel";
import type { ActionPlugin } from "./action.js";
import { actions } from "./registry.js";

/** Kinds of actions by their key. */
export type ActionPlugins = ReadonlyMap<string, ActionPlugin<never>>;

/** Imports every kind: they are small, and none of them brings a library along. */
export async function loadActionPlugins(): Promise<ActionPlugins> {
  const plugins = new Map<string, ActionPlugin<never>>();
  for (const [kind, load] of Object.entries(actions)) {
    const { plugin } = (await load()) as { plugin: ActionPlugin<never> };
    if (plugin.kind !== kind)
      throw new AppError("internal.unreachable", `the action in folder ${kind} calls itself ${plugin.kind}`);
    plugins.set(kind, plugin);
  }
  return plugins;
}
