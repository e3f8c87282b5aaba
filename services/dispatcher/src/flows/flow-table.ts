/** The flows in force, compiled. */
import { type FlowSpec, generationOf, type Resource } from "@myelin/config";
import { type CompiledFlow, compileFlow } from "@myelin/flows";
import { AppError, type Clock } from "@myelin/kernel";
import type { ResourceCondition, ResourceRefusal } from "@myelin/service-host";
import { ReadyConditions } from "../conditions.js";
import type { CoreLog } from "../core/ports.js";

type FlowResource = Resource<"Flow">;

/** A flow and which version of it. */
export interface FlowInForce {
  readonly version: string;
  readonly flow: CompiledFlow;
}

/** Keeps the last good version of every flow: one that cannot be compiled leaves the one before in force. */
export class FlowTable {
  #good = new Map<string, FlowInForce>();
  readonly #ready = new ReadyConditions();

  constructor(
    private readonly log: CoreLog,
    private readonly clock: Pick<Clock, "wallUs">,
  ) {}

  /** For each flow: is it in force? */
  conditions(): readonly ResourceCondition[] {
    return this.#ready.list();
  }

  /** The flow of that name that is in force. */
  get(name: string): FlowInForce | undefined {
    return this.#good.get(name);
  }

  /** All in force. */
  all(): Iterable<FlowInForce> {
    return this.#good.values();
  }

  /** What would be refused of these. */
  check(resources: readonly FlowResource[]): readonly ResourceRefusal[] {
    return resources.flatMap((resource) => {
      try {
        compiled(resource);
        return [];
      } catch (thrown) {
        return [{ kind: resource.kind, name: resource.metadata.name, error: AppError.from(thrown) }];
      }
    });
  }

  /** Puts these in force, and no others. Runs go on with the flow that they began with. */
  apply(resources: readonly FlowResource[]): void {
    const next = new Map<string, FlowInForce>();
    const refused = new Map<string, AppError>();
    for (const resource of resources) {
      const { name } = resource.metadata;
      const version = String(generationOf(resource.spec));
      const known = this.#good.get(name);
      try {
        next.set(name, known?.version === version ? known : { version, flow: compiled(resource) });
      } catch (thrown) {
        const error = AppError.from(thrown);
        refused.set(name, error);
        this.log.warn({ flow: name, err: error, kept: known !== undefined }, "a flow was refused");
        if (known !== undefined) next.set(name, known);
      }
    }
    this.#good = next;
    this.#ready.say(resources, refused, (name) => next.has(name), this.clock.wallUs() / 1_000);
  }
}

/** @throws AppError `config.invalid_resource`, with every path and rule */
function compiled({ metadata: { name }, spec }: FlowResource): CompiledFlow {
  const { flow, problems } = compileFlow(name, spec as FlowSpec);
  if (problems.length === 0) return flow;
  const lines = problems.map(({ path, rule }) => `spec.${path.join(".")}: ${rule}`);
  throw new AppError("config.invalid_resource", lines.join("; "), { details: { problems } });
}
