/** Makes sure of the deployment's streams before a service uses them. */
import { ensureStreams } from "@myelin/bus";
import { type Component, retry } from "@myelin/kernel";
import type { ServiceContext } from "./service.js";

/**
 * A component for the head of a service's list: its start resolves when the streams exist with the deployment's number of
 * partitions. NATS may come later than the process, so it tries until then.
 * @throws AppError `config.invalid` when the deployment has another number of partitions
 */
export function deploymentStreams(
  context: Pick<ServiceContext<unknown>, "bus" | "platform" | "clock">,
): Component {
  const { bus, clock, platform } = context;
  const { partitions } = platform.nats;
  return {
    name: "streams",
    start: (signal) =>
      retry(
        () => ensureStreams(bus, { partitions }),
        { backoff: { initialMs: 100, maxMs: 2_000 }, clock },
        signal,
      ),
    async stop() {
      // Streams outlive every process.
    },
  };
}
