/** Opens a bus for one command and closes it whatever happens. */
import { type Bus, createBus } from "@myelin/bus";
import { AppError, systemClock } from "@myelin/kernel";
import { createLogger } from "@myelin/observability";
import { type Reach, type ReachOptions, reach } from "../box/connection.js";

const CONNECT_TIMEOUT_MS = 3_000;

/** Runs `work` with a connected bus. @throws AppError `setup.not_running`, `bus.disconnected` */
export async function withBus<T>(
  options: ReachOptions,
  work: (bus: Bus, to: Reach) => Promise<T>,
): Promise<T> {
  const to = await reach(options);
  const bus = createBus({
    servers: [to.natsUrl],
    service: "cli",
    instance: `cli-${process.pid}`,
    ...(to.token === undefined ? {} : { credentials: { token: to.token } }),
    clock: systemClock,
    logger: createLogger({ service: "cli", instance: `cli-${process.pid}`, level: "fatal" }),
  });
  try {
    await bus.start(AbortSignal.timeout(CONNECT_TIMEOUT_MS));
    if (!bus.connected) {
      throw new AppError("bus.disconnected", `NATS at ${to.natsUrl} does not answer.`);
    }
    return await work(bus, to);
  } finally {
    await bus.stop();
  }
}
