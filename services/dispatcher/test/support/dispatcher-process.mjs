// Runs a dispatcher of the built package: for tests that kill it.
import { createBus } from "@myelin/bus";
import { checkValue } from "@myelin/config";
import { createDispatcher, dispatcherSchema } from "@myelin/dispatcher";
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";

const [url = "", instance = "", partitions = "", dataDir = "", resources = ""] = process.argv.slice(2);
const bus = createBus({ servers: [url], instance, service: "dispatcher", logger: silentLogger });
const signal = AbortSignal.timeout(30_000);
await bus.start(signal);
const dispatcher = await createDispatcher(checkValue(dispatcherSchema, {}).value, {
  bus,
  partitions: Number(partitions),
  log: silentLogger,
  clock: systemClock,
  version: "test",
  dataDir,
  resourcesDir: dataDir,
});
if (resources !== "") await dispatcher.applyResources({ revision: 1, resources: JSON.parse(resources) });
await dispatcher.start(signal);
process.stdout.write("ready\n");
process.on("SIGTERM", async () => {
  await dispatcher.stop();
  await bus.stop();
  process.exit(0);
});
