/** Whether the applications that `AppService` resources expect are there: by what bridges announce. */
import { generationOf, type Resource } from "@myelin/config";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { ResourceCondition } from "@myelin/service-host";
import type { AppInstance } from "./core/app-directory.js";

type Word = Pick<ResourceCondition, "type" | "status" | "reason" | "message">;

const LOOK_EVERY_MS = 500;
const MOST_NAMED = 10;

/** Says `Available` (enough healthy instances) and `Ready` (they answer what is expected as well); half a second old at most. */
export class AppServices implements Component {
  readonly name = "app-services";
  readonly #instances: (app: string) => Iterable<Pick<AppInstance, "eligible" | "serves">>;
  readonly #clock: Clock;
  #resources: readonly Resource<"AppService">[] = [];
  #said: ReadonlyMap<string, ResourceCondition> = new Map();
  #timer: Timer | undefined;

  constructor(instances: (app: string) => Iterable<Pick<AppInstance, "eligible" | "serves">>, clock: Clock) {
    this.#instances = instances;
    this.#clock = clock;
  }

  async start(): Promise<void> {
    this.#timer = this.#clock.setInterval(() => this.#look(), LOOK_EVERY_MS).unref();
  }

  async stop(): Promise<void> {
    this.#clock.clear(this.#timer);
  }

  /** Expects these, and no others. */
  apply(resources: readonly Resource<"AppService">[]): void {
    this.#resources = resources;
    this.#look();
  }

  /** Two for each resource. */
  conditions(): readonly ResourceCondition[] {
    return [...this.#said.values()];
  }

  #look(): void {
    const said = new Map<string, ResourceCondition>();
    const nowMs = this.#clock.wallMs();
    for (const resource of this.#resources) {
      const { name } = resource.metadata;
      for (const word of this.#words(resource)) {
        const key = `${name}/${word.type}`;
        const before = this.#said.get(key);
        const sinceMs = before?.status === word.status ? before.sinceMs : nowMs;
        said.set(key, {
          kind: "AppService",
          name,
          generation: generationOf(resource.spec),
          sinceMs,
          ...word,
        });
      }
    }
    this.#said = said;
  }

  #words({ metadata, spec }: Resource<"AppService">): readonly Word[] {
    const app = spec.app ?? metadata.name;
    const all = [...this.#instances(app)];
    const healthy = all.filter(({ eligible }) => eligible);
    const count = `${healthy.length} of ${spec.instances} instances of ${app} are healthy`;
    const isEnough = healthy.length >= spec.instances;
    const available: Word = {
      type: "Available",
      status: isEnough,
      reason: isEnough ? "Healthy" : all.length === 0 ? "Away" : "TooFewHealthy",
      message: isEnough || all.length === healthy.length ? count : `${count}; ${all.length} are connected`,
    };
    const answered = new Set(healthy.flatMap(({ serves }) => serves));
    const missing = Object.keys(spec.methods).filter((method) => !answered.has(method));
    if (!isEnough || missing.length === 0) return [available, { ...available, type: "Ready" }];
    const named = missing.slice(0, MOST_NAMED).join(", ");
    const more = missing.length > MOST_NAMED ? ` and ${missing.length - MOST_NAMED} more` : "";
    const message = `no healthy instance of ${app} answers ${named}${more}`;
    return [available, { type: "Ready", status: false, reason: "MethodMissing", message }];
  }
}
