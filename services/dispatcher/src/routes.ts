/** Turns the Route resources in force into what the plan compiler takes: targets made, transformations loaded. */
import type { RouteSpec as ConfigRoute, Resource } from "@myelin/config";
import { AppError, type Clock } from "@myelin/kernel";
import type { ResourceCondition, ResourceRefusal } from "@myelin/service-host";
import type { CodecContext } from "./codecs/codec.js";
import { ReadyConditions } from "./conditions.js";
import type { Dispatcher } from "./core/dispatcher.js";
import type { CompiledRoute, Leg, Transform } from "./core/plan.js";
import type { CoreLog } from "./core/ports.js";
import type { RouteSpec } from "./core/route.js";
import type { TargetPlugins } from "./targets/plugins.js";
import { compileTransform } from "./transform.js";

/** Keeps the last good version of every route: one that cannot be compiled leaves the one before in force. */
export class RouteCompiler {
  private readonly good = new Map<string, { readonly text: string; readonly route: CompiledRoute }>();
  private readonly ready = new ReadyConditions();

  constructor(
    private readonly dispatcher: Dispatcher,
    private readonly plugins: TargetPlugins,
    private readonly codecs: CodecContext,
    private readonly log: CoreLog,
    private readonly clock: Pick<Clock, "wallUs">,
  ) {}

  /** For each route: is what it asks for in force? */
  conditions(): readonly ResourceCondition[] {
    return this.ready.list();
  }

  /** Which of these could not be compiled here, with these profiles. Nothing is put in force. */
  async check(
    resources: readonly Resource<"Route">[],
    profile: CodecContext["profile"],
  ): Promise<readonly ResourceRefusal[]> {
    const refusals: ResourceRefusal[] = [];
    for (const { kind, metadata, spec } of resources) {
      try {
        const { transform, targets } = spec as ConfigRoute;
        if (transform !== undefined)
          await compileTransform(metadata.name, transform, { ...this.codecs, profile });
        for (const target of targets) this.plugins.of(kindOf(target));
      } catch (thrown) {
        refusals.push({ kind, name: metadata.name, error: AppError.from(thrown) });
      }
    }
    return refusals;
  }

  /** Puts these routes in force, between two batches and all at once. */
  async apply(resources: readonly Resource<"Route">[]): Promise<void> {
    const prepared: [name: string, text: string, make: () => CompiledRoute][] = [];
    for (const { metadata, spec } of resources) {
      const { name } = metadata;
      prepared.push([name, JSON.stringify(spec), await this.prepare({ name, ...(spec as ConfigRoute) })]);
    }
    // From here on without a pause, so that no target is made and taken out again before its route is in force.
    const routes: CompiledRoute[] = [];
    const refused = new Map<string, AppError>();
    for (const [name, text, make] of prepared) {
      const known = this.good.get(name);
      try {
        // A file named by a transformation may have changed, so only routes without one are taken as they are.
        const isSame = known?.text === text && known.route.spec.transform === undefined;
        const route = isSame ? known.route : make();
        this.good.set(name, { text, route });
        routes.push(route);
      } catch (thrown) {
        const error = AppError.from(thrown);
        refused.set(name, error);
        this.log.warn({ route: name, err: error, kept: known !== undefined }, "a route was refused");
        if (known !== undefined) routes.push(known.route);
      }
    }
    const names = new Set(prepared.map(([name]) => name));
    for (const name of [...this.good.keys()]) if (!names.has(name)) this.good.delete(name);
    this.dispatcher.setRoutes(routes);
    this.ready.say(resources, refused, (name) => this.good.has(name), this.clock.wallUs() / 1000);
  }

  /** Does what takes time; the rest, or the error, is in what it resolves with. */
  private async prepare(spec: RouteSpec): Promise<() => CompiledRoute> {
    let transform: Transform | undefined;
    try {
      if (spec.transform !== undefined) {
        transform = await compileTransform(spec.name, spec.transform, this.codecs);
      }
    } catch (thrown) {
      return () => {
        throw thrown;
      };
    }
    return () => ({ spec, legs: spec.targets.map((target) => this.compileLeg(target, transform)) });
  }

  private compileLeg(target: Readonly<Record<string, unknown>>, transform: Transform | undefined): Leg {
    // The schema of routes lets one key through, and only those of kinds that routes may name.
    const kind = kindOf(target);
    const plugin = this.plugins.of(kind);
    const spec = target[kind] as never;
    return { target: this.dispatcher.ensure(kind, plugin.nameOf(spec), spec), transform };
  }
}

function kindOf(target: Readonly<Record<string, unknown>>): string {
  const kind = Object.keys(target).find((key) => target[key] !== undefined);
  if (kind === undefined) throw new AppError("route.invalid", "a target must name its kind");
  return kind;
}
