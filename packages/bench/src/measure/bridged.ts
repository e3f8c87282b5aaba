/** A system whose bridge leads to a broker: the same one for all, which does not count as part of the system. */
import { waitFor } from "@myelin/testkit";
import type { Driver } from "../driver/driver.js";
import { plugin as far } from "../systems/mosquitto/index.js";
import type { BridgedOptions, Direction, Running, System } from "../systems/system.js";
import { numberIn } from "./reports.js";

/** Ways over a bridge, seen from the system that has it. */
export const DIRECTIONS: readonly Direction[] = ["out", "in"];

/** `direction` is that of the bridge; `connections` will come to the sending side. */
export interface OpenOptions extends Omit<BridgedOptions, "farPort"> {
  readonly driver: Driver;
  readonly startBridged: NonNullable<System["startBridged"]>;
}

const UP_MS = 30_000;
const PROBES_PER_SECOND = 20;
const SETTLED_MS = 250;

/** Resolves when messages cross. */
export async function openBridged(options: OpenOptions): Promise<Running> {
  const { driver, startBridged, direction, connections } = options;
  await using stack = new AsyncDisposableStack();
  const broker = stack.use(await far.start({ connections }));
  const farPort = broker.mqttPort as number;
  const running = stack.use(await startBridged({ connections, direction, farPort }));
  const ends = [running.mqttPort as number, farPort];
  await crosses(driver, direction === "out" ? ends : ends.reverse());
  const whole = stack.move();
  return {
    ...running,
    farMqttPort: farPort,
    [Symbol.asyncDispose]: () => whole.disposeAsync(),
  };
}

async function crosses(driver: Driver, [from, to]: readonly number[]): Promise<void> {
  await using reader = await driver.start("subscribe", { port: to, connections: 1, client: "look-", qos: 1 });
  const received = async (): Promise<number> => numberIn(await reader.snapshot(), "received");
  const probing = { port: from, connections: 1, client: "probe-", qos: 1, rate: PROBES_PER_SECOND };
  await using writer = await driver.start("publish", probing);
  await waitFor(async () => (await received()) > 0, { what: "a message over the bridge", deadlineMs: UP_MS });
  await writer.stop();
  // What is still on its way must not be counted later.
  let last = -1;
  await waitFor(
    async () => {
      const before = last;
      last = await received();
      return last === before;
    },
    { what: "the last probe", deadlineMs: UP_MS, everyMs: SETTLED_MS },
  );
}
