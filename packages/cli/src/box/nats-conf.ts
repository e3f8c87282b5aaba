/** The configuration file of the box's own nats-server. */

/** `strict` syncs to disk before it acknowledges, `balanced` every two minutes: JetStream's default. */
export type Durability = "strict" | "balanced";

export interface NatsConf {
  readonly port: number;
  readonly monitorPort: number;
  readonly storeDir: string;
  readonly token: string;
  readonly durability: Durability;
}

/** Largest message: a full batch and its headers. */
const MAX_PAYLOAD_BYTES = 8 * 1024 * 1024;

/**
 * More than any --max-store: each stream has its own limit. NATS counts against this what streams have reserved at an
 * earlier start, and would refuse to make them smaller.
 */
const MAX_FILE_STORE_BYTES = 2 ** 51;

/** Text of nats-server's configuration. Contains the token: write it with mode 0600. */
export function natsConf(conf: NatsConf): string {
  return `# Written by \`myelin up\` at each start; changes are lost.
server_name: myelin-box
listen: "127.0.0.1:${conf.port}"
http: "127.0.0.1:${conf.monitorPort}"
max_payload: ${MAX_PAYLOAD_BYTES}
max_pending: 134217728
write_deadline: "10s"
ping_interval: "20s"
authorization { token: "${conf.token}" }
jetstream {
  store_dir: ${JSON.stringify(conf.storeDir)}
  max_memory_store: 67108864
  max_file_store: ${MAX_FILE_STORE_BYTES}
  sync_interval: ${conf.durability === "strict" ? "always" : '"2m"'}
}
`;
}
