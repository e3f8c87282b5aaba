import { relative } from "node:path";
import {
  ADMIN_PORT_OF_AGENT,
  ADMIN_PORTS_OF_WORKERS,
  BOX_PORTS,
  type BoxLayout,
  type BoxPort,
  boxLayout,
  boxPorts,
  MAX_LISTENER_WORKERS,
  PORT_PURPOSE,
} from "../../src/box/layout.js";
import { code, page, table } from "./page.js";

const EXAMPLE_OFFSET = 1_000;
const UDP: readonly BoxPort[] = ["mcpUdp"];

const PART_PURPOSE: Readonly<Record<Exclude<keyof BoxLayout, "root">, string>> = {
  run: "what the box writes for its processes at each start",
  secrets: "made at the first start",
  jetstream: "the streams of NATS",
  resources: "your routes and other resources",
  hardware: "what was measured and is not in the streams yet",
  output: "what route targets of kind `file` write",
  cache: "may be removed at any time",
  logs: "one log file per process",
  claim: "the process that has this folder",
  supervision: "what the supervisor was started with",
  boxFile: "ports and processes, for the other verbs and for scripts",
  natsConfig: "configuration of nats-server",
  natsToken: "what the processes log in to NATS with",
  appSocket: "Unix socket for applications",
};

/** Ports and folders of a box. */
export function boxPage(): string {
  const moved = boxPorts(EXAMPLE_OFFSET);
  const first = BOX_PORTS.admin + ADMIN_PORTS_OF_WORKERS;
  const { root, ...parts } = boxLayout("/data");
  return page("The box: ports and folders", "packages/cli/src/box/layout.ts", [
    "## Ports",
    "",
    "`--port-offset N` moves all of them by N. Device ports listen on `--host` (all addresses by default), the others on this machine only.",
    "",
    ...table(
      ["port", "transport", `with ${code(`--port-offset ${EXAMPLE_OFFSET}`)}`, "for"],
      (Object.keys(BOX_PORTS) as BoxPort[]).map((name) => [
        String(BOX_PORTS[name]),
        UDP.includes(name) ? "UDP" : "TCP",
        String(moved[name]),
        PORT_PURPOSE[name],
      ]),
    ),
    `Health and metrics: ${BOX_PORTS.admin} is the process of dispatcher and ipc-bridge; the listener workers follow from ${first} on, at most ${MAX_LISTENER_WORKERS} of them. The hardware-agent, which runs while there is a Bus, has ${BOX_PORTS.admin + ADMIN_PORT_OF_AGENT}.`,
    "",
    "## Folders and files",
    "",
    "Below the data directory (`.myelin`, or `--data-dir`). `myelin reset` keeps `resources` and `output` and removes the rest.",
    "",
    ...table(
      ["path", "what it is"],
      Object.entries(PART_PURPOSE).map(([name, purpose]) => [
        code(relative(root, parts[name as keyof typeof parts])),
        purpose,
      ]),
    ),
  ]);
}
