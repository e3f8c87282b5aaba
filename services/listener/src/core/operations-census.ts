/** Counts clients and what waits for them, by walking over all connections when somebody asks. */
import type { Clock } from "@myelin/kernel";
import type { Connection } from "./connection.js";
import { scanConnections } from "./operations-scan.js";

/** Sums over the connections of one protocol and version. */
export interface Census {
  readonly protocol: string;
  readonly version: string;
  clients: number;
  /** Messages above QoS 0 on the way without an acknowledgement, and behind those. */
  inflight: number;
  queued: number;
}

/** In short turns, so that it may take a while where there are many. */
export async function takeCensus(connections: readonly Connection[], clock: Clock): Promise<Census[]> {
  const byKey = new Map<string, Census>();
  await scanConnections(connections, clock, (connection) => {
    const { kind: protocol } = connection.scope;
    const { versionName: version } = connection;
    const key = `${protocol},${version}`;
    let census = byKey.get(key);
    if (census === undefined) {
      census = { protocol, version, clients: 0, inflight: 0, queued: 0 };
      byKey.set(key, census);
    }
    census.clients += 1;
    census.inflight += connection.inflightMessages;
    census.queued += connection.queuedMessages;
  });
  return [...byKey.values()];
}
