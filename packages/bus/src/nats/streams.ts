/** Makes the streams of a deployment, and holds all its services to the same number of partitions. */

import { BUCKETS, STREAMS, type StreamSpec } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { jetstreamManager, type StreamAPI, type StreamConfig } from "@nats-io/jetstream";
import { nanos } from "@nats-io/nats-core";
import type { Bus } from "../api.js";
import { busError, JS_ERROR, jetStreamErrorNumber } from "./errors.js";
import { openKeyValue } from "./key-value.js";
import { natsBusOf } from "./nats-bus.js";

/** What a deployment may change of a stream's specification. */
export type StreamOverrides = Partial<
  Pick<StreamSpec, "maxBytes" | "maxAgeMs" | "maxPerSubject" | "duplicateWindowMs">
>;

/** `partitions` must be the same for all services, for as long as the data lives. */
export interface EnsureStreamsOptions {
  readonly partitions: number;
  readonly replicas?: number;
  readonly streams?: { readonly [Name in keyof typeof STREAMS]?: StreamOverrides };
}

const PARTITIONS_KEY = "partitions";

/**
 * Creates or updates every stream of the contract. Any number of processes may do so at once; the last one's settings hold.
 * @throws AppError `config.invalid` when the deployment began with another number of partitions, `config.store_too_small` when
 * a stream holds more than it may, `bus.*` when NATS refuses
 */
export async function ensureStreams(bus: Bus, options: EnsureStreamsOptions): Promise<void> {
  await ensurePartitions(bus, options);
  const { replicas = 1, streams = {} } = options;
  for (const name of Object.keys(STREAMS) as (keyof typeof STREAMS)[]) {
    await ensureStream(bus, configOf({ ...STREAMS[name], ...streams[name] }, replicas));
  }
}

async function ensurePartitions(bus: Bus, options: EnsureStreamsOptions): Promise<void> {
  const { partitions, replicas = 1 } = options;
  const store = await openKeyValue(bus, BUCKETS.deployment, { replicas });
  const stored = await store.get(PARTITIONS_KEY);
  if (stored === undefined) {
    try {
      await store.put(PARTITIONS_KEY, Buffer.from(String(partitions)), 0);
      return;
    } catch (thrown) {
      if (!AppError.is(thrown) || thrown.code !== "store.conflict") throw thrown;
      // Another process was first; what it wrote holds.
      return ensurePartitions(bus, options);
    }
  }
  const found = Number(Buffer.from(stored.value).toString());
  if (found === partitions) return;
  throw new AppError(
    "config.invalid",
    `this deployment has ${found} partitions and the configuration says ${partitions}; devices would change their partition`,
    { details: { path: "partitions", value: partitions, rule: `must be ${found}` } },
  );
}

/**
 * How many partitions the deployment has, for tools that join it; makes nothing.
 * @throws AppError `bus.*` when NATS is away, or knows no deployment
 */
export async function deploymentPartitions(bus: Bus): Promise<number> {
  const bucket = BUCKETS.deployment.name;
  try {
    const { direct } = await jetstreamManager(natsBusOf(bus).client, { checkAPI: false });
    const stored = await direct.getMessage(`KV_${bucket}`, {
      last_by_subj: `$KV.${bucket}.${PARTITIONS_KEY}`,
    });
    if (stored !== null) return Number(stored.string());
  } catch (thrown) {
    throw busError(thrown, "cannot read the number of partitions of the deployment");
  }
  throw new AppError("bus.refused", "this NATS holds no deployment of Myelin");
}

async function ensureStream(bus: Bus, config: StreamConfig): Promise<void> {
  try {
    const { streams } = await jetstreamManager(natsBusOf(bus).client, { checkAPI: false });
    try {
      await refuseToShrinkBelowContent(streams, config);
      await streams.update(config.name, config);
    } catch (thrown) {
      if (jetStreamErrorNumber(thrown) !== JS_ERROR.streamNotFound) throw thrown;
      try {
        await streams.add(config);
      } catch (other) {
        // Another process with other settings was first.
        if (jetStreamErrorNumber(other) !== JS_ERROR.streamNameInUse) throw other;
        await streams.update(config.name, config);
      }
    }
  } catch (thrown) {
    throw busError(thrown, `cannot create or update the stream ${config.name}`);
  }
}

/** A smaller stream would refuse everything new until it is read, and one that discards would forget what it holds. */
async function refuseToShrinkBelowContent(
  streams: StreamAPI,
  { name, max_bytes }: StreamConfig,
): Promise<void> {
  const { bytes } = (await streams.info(name)).state;
  if (max_bytes === -1 || bytes <= max_bytes) return;
  throw new AppError(
    "config.store_too_small",
    `the stream ${name} holds ${bytes} bytes, and ${max_bytes} are left to it`,
    {
      details: { stream: name, storedBytes: bytes, maxBytes: max_bytes },
    },
  );
}

function configOf(spec: StreamSpec, replicas: number): StreamConfig {
  const limit = (value: number): number => (value === 0 ? -1 : value);
  return {
    name: spec.name,
    subjects: [...spec.subjects],
    retention: spec.retention === "work" ? "workqueue" : "limits",
    discard: spec.whenFull === "refuse_new" ? "new" : "old",
    storage: "file",
    num_replicas: replicas,
    max_bytes: limit(spec.maxBytes),
    max_age: nanos(spec.maxAgeMs),
    max_msgs_per_subject: limit(spec.maxPerSubject),
    duplicate_window: nanos(spec.duplicateWindowMs),
    // Overflow and sender ids are read by subject, without a consumer.
    allow_direct: true,
    ...(spec.messageTtl === true && { allow_msg_ttl: true }),
    ...(spec.atomicBatches === true && { allow_atomic: true }),
  } as StreamConfig;
}
