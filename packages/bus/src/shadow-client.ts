/** What programs ask of the shadows of devices: each of the owner of the device's partition. */
import { partitionOf, subjects, shadow as wire } from "@myelin/contract";
import { AppError, type Clock, systemClock, type Timer } from "@myelin/kernel";
import type { Bus } from "./api.js";

const ANSWER_WITHIN_MS = 10_000;
const WATCH_AGAIN_MS = 10_000;
const RETRY_MS = 1_000;

/** Whose shadow; the name is empty for the classic one, the tenant for the default one. */
export interface ShadowName {
  readonly tenant: string;
  readonly device: string;
  readonly name: string;
}

/** How far a device follows what is desired of it. */
export interface ShadowStanding {
  /** `synced`, `drifted`, `conflict` or `unreachable`. */
  readonly state: string;
  readonly sinceMs: number;
  readonly reason: string;
}

/** A shadow as it is at one version. */
export interface ShadowView {
  /** JSON in the form of AWS IoT: state, metadata, version, timestamp. */
  readonly json: string;
  readonly version: number;
  /** There is none (any more). */
  readonly isGone: boolean;
  /** Absent as long as nothing was ever desired. */
  readonly condition: ShadowStanding | undefined;
}

/** What is desired. */
export interface ShadowWish {
  /** Merged into the desired state; null removes a field, and all of it empties the state. */
  readonly desired: unknown;
  /** The desired state becomes exactly this. */
  readonly replace?: boolean | undefined;
  /** The version that it is meant for, 0: there must be none; left out, whatever there is. */
  readonly expected?: number | undefined;
}

/** One per program. All of it throws AppError `bus.disconnected`, `request.timeout`, `request.no_responder`, `shadow.invalid` besides what is said. */
export class ShadowClient {
  constructor(
    private readonly bus: Bus,
    private readonly partitions: number,
    private readonly clock: Clock = systemClock,
  ) {}

  /** @throws AppError `shadow.unknown` */
  async get(which: ShadowName): Promise<ShadowView> {
    return await this.#view(which, { $case: "get", value: { watch: false } });
  }

  /** Makes a shadow, or changes what is desired in it. @throws AppError `shadow.version_conflict`, `shadow.too_large`, `limit.rate` */
  async update(which: ShadowName, { desired, replace = false, expected }: ShadowWish): Promise<ShadowView> {
    const value = {
      desired: Buffer.from(JSON.stringify(desired) ?? "null"),
      replace,
      condition: conditionOf(expected),
    };
    return await this.#view(which, { $case: "update", value });
  }

  /** @throws AppError `shadow.unknown`, `shadow.version_conflict` */
  async delete(which: ShadowName, expected?: number): Promise<ShadowView> {
    return await this.#view(which, { $case: "delete", value: { condition: conditionOf(expected) } });
  }

  /** The names of a device's shadows; that of the classic one is empty. */
  async list(tenant: string, device: string): Promise<readonly string[]> {
    const answer = await this.#ask({ tenant, device, name: "" }, { $case: "list", value: {} });
    return answer.names;
  }

  /**
   * The shadow as it is, then as it is after changes; one that is gone, or was never there, is told too. Whoever is slow gets the newest, and what
   * lies between is left out. Goes on by itself when the owner changes or NATS was away; ends with the signal.
   * @throws AppError `limit.rate` when too many are watched
   */
  async *watch(which: ShadowName, signal: AbortSignal): AsyncIterable<ShadowView> {
    const { tenant, device, name } = which;
    const partition = partitionOf(tenant, device, this.partitions);
    let newest: ShadowView | undefined;
    let lastVersion = -1;
    let isOver = false;
    let failure: unknown;
    let wake: () => void = () => undefined;
    const offer = (view: ShadowView): void => {
      if (view.version <= Math.max(lastVersion, newest?.version ?? -1)) return;
      newest = view;
      wake();
    };
    const subscription = this.bus.subscribe(subjects.shadowChange(partition, tenant, device, name), (data) =>
      offer(viewOf(wire.Document.decode(data))),
    );
    const look = async (): Promise<void> => {
      try {
        offer(await this.#view(which, { $case: "get", value: { watch: true } }));
        askAgain(WATCH_AGAIN_MS);
      } catch (thrown) {
        const error = AppError.from(thrown);
        if (!error.retryable || error.code === "limit.rate") {
          failure = error;
          wake();
        } else askAgain(RETRY_MS);
      }
    };
    let again: Timer | undefined;
    const askAgain = (afterMs: number): void => {
      if (!isOver) again = this.clock.setTimeout(() => void look(), afterMs);
    };
    const stop = (): void => wake();
    signal.addEventListener("abort", stop, { once: true });
    try {
      void look();
      while (!signal.aborted) {
        if (failure !== undefined) throw failure;
        if (newest === undefined) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        const view = newest;
        newest = undefined;
        lastVersion = view.version;
        yield view;
      }
    } finally {
      signal.removeEventListener("abort", stop);
      isOver = true;
      this.clock.clear(again);
      subscription();
    }
  }

  async #view(which: ShadowName, request: wire.Request["request"]): Promise<ShadowView> {
    const { document } = await this.#ask(which, request);
    if (document === undefined) throw new AppError("remote.unknown", "an answer without a shadow");
    return viewOf(document);
  }

  async #ask({ tenant, device, name }: ShadowName, request: wire.Request["request"]): Promise<wire.Answer> {
    const partition = partitionOf(tenant, device, this.partitions);
    const data = wire.Request.encode({ partition, tenant, device, name, request }).finish();
    return wire.Answer.decode(
      await this.bus.request(subjects.shadowRequest(partition), data, ANSWER_WITHIN_MS),
    );
  }
}

/** A shadow as JSON for people and programs: the document, and its condition beside it. */
export function shadowJson({ json, condition, isGone }: ShadowView): object {
  if (isGone) return { gone: true };
  return {
    ...(JSON.parse(json) as object),
    ...(condition !== undefined && {
      condition: {
        state: condition.state,
        since: new Date(condition.sinceMs).toISOString(),
        ...(condition.reason !== "" && { reason: condition.reason }),
      },
    }),
  };
}

function conditionOf(
  expected: number | undefined,
): { readonly $case: "expectedVersion"; readonly value: number } | undefined {
  return expected === undefined ? undefined : { $case: "expectedVersion", value: expected };
}

function viewOf({ json, version, gone, condition }: wire.Document): ShadowView {
  return { json: json.toString("utf8"), version, isGone: gone, condition };
}
