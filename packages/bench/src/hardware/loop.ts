/** What a program has without an agent: connections of modbus-serial that read in turn, spoken to by lines on standard input. */
import { createInterface } from "node:readline";
import { setImmediate as turn } from "node:timers/promises";
import ModbusRTU from "modbus-serial";

const TIMEOUT_MS = 5_000;
const [port, units, points, atOnce] = process.argv.slice(2).map(Number) as [number, number, number, number];
let received = 0;
let isOver = false;

function report(event: string): void {
  const { user, system } = process.cpuUsage();
  const line = {
    event,
    received,
    time_ns: process.hrtime.bigint().toString(),
    cpu_seconds: (user + system) / 1e6,
  };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

async function poll(unit: number): Promise<void> {
  const client = new ModbusRTU.default();
  await client.connectTCP("127.0.0.1", { port });
  client.setID(unit);
  client.setTimeout(TIMEOUT_MS);
  while (!isOver) {
    for (let at = 0; at < points && !isOver; at += atOnce) {
      const { data } = await client.readHoldingRegisters(at, Math.min(atOnce, points - at));
      received += data.length;
    }
    await turn();
  }
  client.close(() => undefined);
}

const polling = Array.from({ length: units }, (_, i) => poll(i + 1));
report("ready");
for await (const command of createInterface({ input: process.stdin })) {
  if (command === "stop") break;
  report(command);
}
isOver = true;
await Promise.all(polling);
report("done");
process.exit(0);
