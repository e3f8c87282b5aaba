/** The device profiles in force, compiled. */
import { type DeviceProfileSpec, generationOf, type Resource } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import { Profile } from "@myelin/profile";
import type { ResourceCondition, ResourceRefusal } from "@myelin/service-host";
import { ReadyConditions } from "./conditions.js";
import type { CoreLog } from "./core/ports.js";

type ProfileResource = Resource<"DeviceProfile">;

/** Keeps the last good version of every profile: one that cannot be compiled leaves the one before in force. */
export class ProfileTable {
  private good = new Map<string, { readonly generation: number; readonly profile: Profile }>();
  private readonly ready = new ReadyConditions();

  constructor(
    private readonly log: CoreLog,
    private readonly clock: Pick<Clock, "wallUs">,
  ) {}

  /** For each profile: is it in force? */
  conditions(): readonly ResourceCondition[] {
    return this.ready.list();
  }

  /** Profiles in force. */
  get size(): number {
    return this.good.size;
  }

  /** The profile of that name that is in force. */
  get(name: string): Profile | undefined {
    return this.good.get(name)?.profile;
  }

  /** Compiles these without putting them in force: a look-up in which they stand before those in force, and what was refused. */
  check(resources: readonly ProfileResource[]): {
    readonly profile: (name: string) => Profile | undefined;
    readonly refusals: readonly ResourceRefusal[];
  } {
    const made = new Map<string, Profile>();
    const refusals: ResourceRefusal[] = [];
    for (const { kind, metadata, spec } of resources) {
      try {
        made.set(metadata.name, new Profile(metadata.name, spec as DeviceProfileSpec));
      } catch (thrown) {
        refusals.push({ kind, name: metadata.name, error: AppError.from(thrown) });
      }
    }
    return { profile: (name) => made.get(name) ?? this.get(name), refusals };
  }

  /** Puts these in force, and no others. */
  apply(resources: readonly ProfileResource[]): void {
    const next = new Map<string, { readonly generation: number; readonly profile: Profile }>();
    const refused = new Map<string, AppError>();
    for (const { metadata, spec } of resources) {
      const { name } = metadata;
      const generation = generationOf(spec);
      const known = this.good.get(name);
      try {
        const isSame = known?.generation === generation;
        const profile = isSame ? known.profile : new Profile(name, spec as DeviceProfileSpec);
        next.set(name, { generation, profile });
      } catch (thrown) {
        const error = AppError.from(thrown);
        refused.set(name, error);
        this.log.warn(
          { profile: name, err: error, kept: known !== undefined },
          "a device profile was refused",
        );
        if (known !== undefined) next.set(name, known);
      }
    }
    this.good = next;
    this.ready.say(resources, refused, (name) => next.has(name), this.clock.wallUs() / 1000);
  }
}
