/** What is told of resources: whether what they ask for is in force. */
import { generationOf, type Resource } from "@myelin/config";
import type { AppError } from "@myelin/kernel";
import type { ResourceCondition } from "@myelin/service-host";

/** The conditions of the resources of one kind, by name. */
export class ReadyConditions {
  private said: ReadonlyMap<string, ResourceCondition> = new Map();

  /** As last told. */
  list(): readonly ResourceCondition[] {
    return [...this.said.values()];
  }

  /** Tells of these and forgets all others. `isKept`: an earlier version of a refused one is in force. */
  say(
    resources: readonly Resource[],
    refused: ReadonlyMap<string, AppError>,
    isKept: (name: string) => boolean,
    nowMs: number,
  ): void {
    const said = new Map<string, ResourceCondition>();
    for (const { kind, metadata, spec } of resources) {
      const { name } = metadata;
      const error = refused.get(name);
      const before = this.said.get(name);
      const status = error === undefined;
      const kept = isKept(name) ? "; an earlier version is in force" : "";
      said.set(name, {
        kind,
        name,
        type: "Ready",
        status,
        reason: error?.code ?? "InForce",
        message: error === undefined ? "" : error.message + kept,
        generation: generationOf(spec),
        sinceMs: before?.status === status ? before.sinceMs : nowMs,
      });
    }
    this.said = said;
  }
}
