/** Makes sure of the deployment's streams before a service uses them. */
import { ensureStreams, type StreamOverrides } from "@myelin/bus";
import { STREAMS } from "@myelin/contract";
import { AppError, type Component, retry } from "@myelin/kernel";
import type { ServiceContext } from "./service.js";

/**
 * A component for the head of a service's list: its start resolves when the streams exist with the deployment's number of
 * partitions. NATS may come later than the process, so it tries until then.
 * @throws AppError `config.invalid` when the deployment has another number of partitions, `config.store_too_small` when a stream
 * holds more than its share
 */
export function deploymentStreams(
  context: Pick<ServiceContext<unknown>, "bus" | "platform" | "clock" | "log">,
): Component {
  const { bus, clock, log, platform } = context;
  const { partitions, maxStore } = platform.nats;
  const streams = sharesOf(maxStore);
  return {
    name: "streams",
    start: (signal) =>
      retry(
        () =>
          ensureStreams(bus, { partitions, streams }).catch((error: unknown) =>
            Promise.reject(withRemedy(error, maxStore)),
          ),
        {
          backoff: { initialMs: 100, maxMs: 2_000 },
          clock,
          // Once: whoever waits for the start must be able to read why.
          onRetry: (error, attempt) => {
            if (attempt === 1)
              log.warn(
                { code: error.code, problem: error.message },
                "the streams cannot be made, will try again",
              );
          },
        },
        signal,
      ),
    async stop() {
      // Streams outlive every process.
    },
  };
}

/** The size of one stream follows from that of all, which is what an operator sets. */
function withRemedy(error: unknown, maxStoreBytes: number): unknown {
  if (!AppError.is(error) || error.code !== "config.store_too_small") return error;
  const { stream, storedBytes, maxBytes } = error.details as Record<
    "stream" | "storedBytes" | "maxBytes",
    number
  >;
  const neededBytes = Math.ceil((storedBytes / maxBytes) * maxStoreBytes);
  return new AppError(
    error.code,
    `the stream ${stream} holds ${toMib(storedBytes)} MiB, and nats.maxStore (--max-store of a box) of ${toMib(maxStoreBytes)} MiB leaves it ` +
      `${toMib(maxBytes)} MiB: set at least ${toMib(neededBytes)} MiB, or start with what was set before until it is read`,
    { cause: error, details: { ...error.details, neededBytes } },
  );
}

function toMib(bytes: number): number {
  return Math.ceil(bytes / 1024 ** 2);
}

/** Divides the disk among the streams in the proportion of their specifications. */
function sharesOf(maxStoreBytes: number): Record<keyof typeof STREAMS, StreamOverrides> {
  const specs = Object.entries(STREAMS) as [keyof typeof STREAMS, { readonly maxBytes: number }][];
  const total = specs.reduce((sum, [, spec]) => sum + spec.maxBytes, 0);
  return Object.fromEntries(
    specs.map(([name, { maxBytes }]) => [name, { maxBytes: Math.floor((maxBytes / total) * maxStoreBytes) }]),
  ) as Record<keyof typeof STREAMS, StreamOverrides>;
}
