/** What lists show of each kind beside its name and how it stands. */
import type { kinds } from "./registry.js";

/** A column: a field of the spec, by its path. */
export interface PrinterColumn {
  readonly name: string;
  readonly type: "string" | "integer" | "boolean";
  readonly path: readonly string[];
  readonly description: string;
}

/** By kind, in order from left to right; the same in `myelin get` and `kubectl get`. Kinds without need of any are left out. */
export const printerColumns: Readonly<Partial<Record<keyof typeof kinds, readonly PrinterColumn[]>>> = {
  AppService: [
    {
      name: "Instances",
      type: "integer",
      path: ["instances"],
      description: "Healthy instances there must be.",
    },
  ],
  Bridge: [
    { name: "URL", type: "string", path: ["remote", "mqtt", "url"], description: "Where the broker is." },
  ],
  Bus: [
    { name: "Node", type: "string", path: ["node"], description: "Edge node that the line is at." },
    {
      name: "Serial",
      type: "string",
      path: ["link", "serial", "path"],
      description: "Of a serial line: its device file.",
    },
    { name: "TCP", type: "string", path: ["link", "tcp", "host"], description: "Of a connection: to where." },
  ],
  Device: [
    { name: "Node", type: "string", path: ["node"], description: "Edge node that drives it." },
    { name: "Driver", type: "string", path: ["driver"], description: "Driver that speaks its protocol." },
    { name: "Profile", type: "string", path: ["profile"], description: "What it measures and can be told." },
  ],
  Flow: [
    {
      name: "Priority",
      type: "integer",
      path: ["priority"],
      description: "Waiting runs of larger priority go first.",
    },
  ],
  Route: [
    { name: "Order", type: "integer", path: ["order"], description: "Routes are tried by growing order." },
    { name: "Stop", type: "boolean", path: ["stop"], description: "No later route sees what matched." },
  ],
  Rule: [
    { name: "Severity", type: "string", path: ["severity"], description: "How urgent it is." },
    { name: "Mode", type: "string", path: ["mode"], description: "Whether it acts or is only observed." },
  ],
  Sink: [
    {
      name: "File",
      type: "string",
      path: ["store", "sqlite", "path"],
      description: "Of a store in a file: where it is.",
    },
    {
      name: "PostgreSQL",
      type: "string",
      path: ["store", "postgresql", "host"],
      description: "Of a store in such a database: its server.",
    },
    {
      name: "MySQL",
      type: "string",
      path: ["store", "mysql", "host"],
      description: "Of a store in such a database, or in MariaDB: its server.",
    },
    {
      name: "InfluxDB",
      type: "string",
      path: ["store", "influxdb", "url"],
      description: "Of a store in such a database: its server.",
    },
  ],
};
