/** `myelin audit verify`: walks the hash chains of the audit log. */
import { type AuditChain, deploymentPartitions, verifyAuditLog } from "@myelin/bus";
import type { ReachOptions } from "../box/connection.js";
import { EXIT, print, printJson } from "../output.js";
import { withBus } from "./client.js";
import { table } from "./operator-lists.js";

export interface AuditOptions extends ReachOptions {
  readonly json: boolean;
}

/** Exit code 1 when a link does not hold. @throws AppError `bus.*`, `setup.not_running` */
export async function verifyAudit(options: AuditOptions): Promise<number> {
  return withBus(options, async (bus) => {
    const partitions = await deploymentPartitions(bus);
    const chains: AuditChain[] = [];
    for (let partition = 0; partition < partitions; partition++)
      chains.push(await verifyAuditLog(bus, partition));
    if (options.json) for (const chain of chains) printJson(jsonOf(chain));
    else show(chains);
    return chains.some(({ broken }) => broken !== undefined) ? EXIT.failed : EXIT.ok;
  });
}

function show(chains: readonly AuditChain[]): void {
  const rows = chains.map(({ partition, batches, entries, firstNumber, broken }) => [
    partition,
    firstNumber,
    batches,
    entries,
    broken === undefined ? "holds" : `${broken.fault} at ${broken.sequence}: ${broken.message}`,
  ]);
  table(["PARTITION", "FROM", "BATCHES", "ENTRIES", "CHAIN"], rows, "no partitions");
  const broken = chains.filter((chain) => chain.broken !== undefined).length;
  print(broken === 0 ? "every link holds" : `${broken} of ${chains.length} chains are broken`);
}

function jsonOf({ broken, ...chain }: AuditChain): object {
  if (broken === undefined) return { ...chain, holds: true };
  const { afterUs, ...link } = broken;
  const after = afterUs === 0 ? {} : { after: new Date(afterUs / 1_000).toISOString() };
  return { ...chain, holds: false, broken: { ...link, ...after } };
}
