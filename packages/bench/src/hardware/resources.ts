/** Resources of the agents that are measured, as documents of one file. */

/** `units` are numbered from 1; each has `points` registers from 0 on, at most the 1,024 of a profile. */
export interface HardwareLayout {
  readonly port: number;
  readonly units: number;
  readonly points: number;
  readonly pollMs: number;
  /** `true`: all units behind one gateway, which serves one request at a time; otherwise each has a connection of its own. */
  readonly isShared: boolean;
  readonly timeoutMs: number;
}

const API = "myelin.dev/v1alpha1";

/** JSON documents, which are YAML, with what separates them. */
export function hardwareResources(layout: HardwareLayout): string {
  const { units, points, port, isShared, pollMs, timeoutMs } = layout;
  const names = Array.from({ length: points }, (_, i) => `p${i}`);
  const busOf = (unit: number): string => (isShared ? "bench" : `bench-${unit}`);
  const numbers = Array.from({ length: units }, (_, i) => i + 1);
  const documents = [
    {
      kind: "DeviceProfile",
      metadata: { name: "bench-unit" },
      spec: { points: Object.fromEntries(names.map((name) => [name, {}])) },
    },
    ...[...new Set(numbers.map(busOf))].map((name) => ({
      kind: "Bus",
      metadata: { name },
      spec: { link: { tcp: { host: "127.0.0.1", port } }, timeout: `${timeoutMs}ms` },
    })),
    ...numbers.map((unit) => ({
      kind: "Device",
      metadata: { name: `unit-${unit}` },
      spec: {
        ...{ bus: busOf(unit), driver: "modbus-tcp", profile: "bench-unit", address: String(unit) },
        poll: `${pollMs}ms`,
        points: Object.fromEntries(names.map((name, i) => [name, { address: `holding:${i}` }])),
      },
    })),
  ];
  return documents.map((document) => JSON.stringify({ apiVersion: API, ...document })).join("\n---\n");
}
