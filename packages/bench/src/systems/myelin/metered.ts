/** A box whose devices report, and what it counts of their shadows. */
import { AppError } from "@myelin/kernel";
import { siblingProgram } from "../../paths.js";
import { startControlled } from "../../process/controlled.js";
import type { Metered, Running, ShadowCounts } from "../system.js";

const PROFILE = "bench-meter";
const MAX_POINTS = 10;
const CONNECTED_WITHIN_MS = 120_000;
const SCRAPE_MS = 5_000;

/** The resource that the box is started with. */
export const METERS = `apiVersion: myelin.dev/v1alpha1
kind: DeviceProfile
metadata: { name: ${PROFILE} }
spec:
  payloads: [{ topics: ["meters/+"], format: json }]
  points:
${Array.from({ length: MAX_POINTS }, (_, i) => `    p${i}: { from: { field: p${i} } }\n`).join("")}`;

/** @param running with the admin port of its core */
export function metered(running: Running & { readonly adminPort: number }): Metered {
  const { httpPort, mqttPort, adminPort } = running;
  return {
    ...running,
    meters: ({ devices, points, ratePerSecond, isProfiled }) =>
      startControlled({
        name: "meters",
        command: process.execPath,
        args: [
          siblingProgram(import.meta.url, "meters"),
          ...[httpPort, mqttPort, devices, points, ratePerSecond].map(String),
          ...(isProfiled ? [PROFILE] : []),
        ],
        readyMs: CONNECTED_WITHIN_MS,
      }),
    shadowCounts: () => shadowCounts(adminPort),
  };
}

async function shadowCounts(adminPort: number): Promise<ShadowCounts> {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/metrics`, {
    signal: AbortSignal.timeout(SCRAPE_MS),
  });
  const page = await answer.text();
  const counted = (name: string): number => {
    const [, value] =
      new RegExp(`^myelin_dispatcher_shadow_${name}_total(?:\\{[^}]*\\})? (\\S+)$`, "m").exec(page) ?? [];
    if (value === undefined)
      throw new AppError("internal.unexpected", `the core tells no ${name} of shadows`);
    return Number(value);
  };
  return { readings: counted("readings"), dropped: counted("dropped_readings"), writes: counted("writes") };
}
