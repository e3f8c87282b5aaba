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
    await connect(bus, to);
    return await work(bus, to);
  } finally {
    await bus.stop();
  }
}

async function connect(bus: Bus, { natsUrl }: Reach): Promise<void> {
  const signal = AbortSignal.timeout(CONNECT_TIMEOUT_MS);
  try {
    await bus.start(signal);
  } catch (error) {
    // Why each try failed is known to the bus alone, which goes on trying; here it only took too long.
    if (!signal.aborted) throw error;
  }
  if (bus.connected) return;
  throw new AppError(
    "bus.disconnected",
    `NATS at ${natsUrl} does not let us in within ${CONNECT_TIMEOUT_MS / 1000} s: it does not answer, or refuses the token.`,
  );
}
