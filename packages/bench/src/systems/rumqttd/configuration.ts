/** Everything rumqttd insists on; the figures that matter are explained in the README beside this file. */
export function configuration(options: {
  readonly port: number;
  readonly consolePort: number;
  readonly connections: number;
}): string {
  return `id = 0

[router]
id = 0
max_connections = ${options.connections + 100}
max_outgoing_packet_count = 20000
max_segment_size = 104857600
max_segment_count = 10

[v4.1]
name = "v4-1"
listen = "127.0.0.1:${options.port}"
next_connection_delay_ms = 0
    [v4.1.connections]
    connection_timeout_ms = 60000
    max_payload_size = 1048576
    max_inflight_count = 60000
    dynamic_filters = true

[console]
listen = "127.0.0.1:${options.consolePort}"
`;
}
