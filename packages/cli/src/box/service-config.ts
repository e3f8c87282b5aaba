/** The settings of a box's own processes: written as files that `--print-config` and an operator can read. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { BoxLayout, BoxPorts } from "./layout.js";

/** What the box decides for its processes. */
export interface BoxSettings {
  readonly layout: BoxLayout;
  readonly ports: BoxPorts;
  readonly host: string;
  readonly partitions: number;
  readonly maxStoreBytes: number;
}

/** Writes the settings of dispatcher and ipc-bridge; returns the arguments that run them. */
export async function coreConfig(settings: BoxSettings): Promise<string[]> {
  const { layout, ports } = settings;
  return write(settings, "core", ports.admin, {
    dispatcher: {},
    ipcBridge: {
      grpc: { host: "127.0.0.1", port: ports.grpc },
      socket: { path: layout.appSocket },
    },
  });
}

/** Writes the settings of one listener worker; returns the arguments that run it. */
export async function listenerConfig(settings: BoxSettings, index: number, admin: number): Promise<string[]> {
  const { ports, host } = settings;
  return write(settings, `listener-${index}`, admin, {
    listener: {
      protocols: {
        mqtt: { mqtt: { host, port: ports.mqtt } },
        http: { http: { host, port: ports.http } },
        tcp: {
          tcp: { host, port: ports.mcpTcp },
          lines: { host, port: ports.lines, framing: "lines" },
        },
        udp: { udp: { host, port: ports.mcpUdp } },
        auto: { auto: { host, port: ports.auto } },
        // WebSocket lives on the HTTP port; left out, it would get a port of its own that --port-offset does not move.
        websocket: {},
      },
    },
  });
}

/** Writes the settings of the hardware-agent; returns the arguments that run it. */
export async function agentConfig(settings: BoxSettings, admin: number): Promise<string[]> {
  return write(settings, "hardware-agent", admin, {
    process: {
      instance: "hardware-agent",
      dataDir: settings.layout.hardware,
      stopTimeout: STOP_TIMEOUT,
    },
    hardwareAgent: {},
  });
}

/** Below what the supervisor waits. */
const STOP_TIMEOUT = "9s";

async function write(
  { layout, ports, partitions, maxStoreBytes }: BoxSettings,
  name: string,
  admin: number,
  sections: Record<string, unknown>,
): Promise<string[]> {
  const file = join(layout.run, `${name}.yaml`);
  const config = {
    process: { instance: name, dataDir: layout.output, stopTimeout: STOP_TIMEOUT },
    admin: { host: "127.0.0.1", port: admin },
    nats: {
      servers: [`nats://127.0.0.1:${ports.nats}`],
      partitions,
      maxStore: `${maxStoreBytes}B`,
      token: { fromFile: layout.natsToken },
    },
    resources: { directory: layout.resources },
    ...sections,
  };
  // JSON is YAML; a YAML library would be the largest part of the supervisor.
  const text = `# Written by \`myelin up\` at each start; changes are lost.\n${JSON.stringify(config, null, 2)}\n`;
  await writeFile(file, text, { mode: 0o600 });
  const verb = name.startsWith("listener-") ? "listener" : name;
  return [verb, "--config", file];
}
