/** Makes sure of the deployment's streams before a service uses them. */
import { ensureStreams, type StreamOverrides } from "@myelin/bus";
import { STREAMS } from "@myelin/contract";
import { type Component, retry } from "@myelin/kernel";
import type { ServiceContext } from "./service.js";

/**
 * A component for the head of a service's list: its start resolves when the streams exist with the deployment's number of
 * partitions. NATS may come later than the process, so it tries until then.
 * @throws AppError `config.invalid` when the deployment has another number of partitions
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
        () => ensureStreams(bus, { partitions, streams }),
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

/** Divides the disk among the streams in the proportion of their specifications. */
function sharesOf(maxStoreBytes: number): Record<keyof typeof STREAMS, StreamOverrides> {
  const specs = Object.entries(STREAMS) as [keyof typeof STREAMS, { readonly maxBytes: number }][];
  const total = specs.reduce((sum, [, spec]) => sum + spec.maxBytes, 0);
  return Object.fromEntries(
    specs.map(([name, { maxBytes }]) => [name, { maxBytes: Math.floor((maxBytes / total) * maxStoreBytes) }]),
  ) as Record<keyof typeof STREAMS, StreamOverrides>;
}
