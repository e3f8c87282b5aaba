/** Whether a device, its line, its driver and its profile fit together; pure but for the loading of the driver. */
import {
  type BusSpec,
  checkValue,
  type DeviceSpec,
  formatPath,
  formatValue,
  generationOf,
  type Schema,
} from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { Profile } from "@myelin/profile";
import type { AnyDriver, PlannedPoint } from "../drivers/adapter.js";
import { loadDriver } from "../drivers/load.js";
import type { LinkKind } from "../links/link.js";
import type { CheckedDevice } from "./unit.js";

/** What a device refers to. */
export interface Surroundings {
  bus(name: string): BusSpec | undefined;
  profile(name: string): Profile | undefined;
}

/** Which sort of line a Bus is. */
export function linkKindOf({ link }: BusSpec): LinkKind {
  return Object.keys(link).find((key) => link[key as LinkKind] !== undefined) as LinkKind;
}

/** @throws AppError `hardware.unfit` with every problem: path, value and rule */
export async function checkDevice(
  name: string,
  spec: DeviceSpec,
  around: Surroundings,
): Promise<CheckedDevice> {
  const problems: string[] = [];
  const expect = (path: readonly (string | number)[], value: unknown, rule: string): void =>
    void problems.push(`spec.${formatPath(path)}: ${formatValue(value)} must be ${rule}`);
  const bus = around.bus(spec.bus);
  if (bus === undefined) expect(["bus"], spec.bus, `a Bus of the node ${spec.node}`);
  const profile = around.profile(spec.profile);
  if (profile === undefined) expect(["profile"], spec.profile, "a DeviceProfile that is in force");
  let driver: AnyDriver | undefined;
  try {
    driver = await loadDriver(spec.driver);
  } catch (thrown) {
    expect(["driver"], spec.driver, `a driver that there is: ${AppError.from(thrown).message}`);
  }
  if (driver !== undefined && bus !== undefined) {
    const kind = linkKindOf(bus);
    // Units of a simulated line are models: nothing there speaks a real protocol.
    const fits = kind === "simulated" ? driver.name === "simulated" : driver.links.includes(kind);
    if (!fits) expect(["driver"], spec.driver, `a driver for ${kind} lines, as ${spec.bus} is one`);
  }
  const settings = driver === undefined ? undefined : settingsOf(driver.settings, spec.settings, expect);
  const unit = attempt(["address"], spec.address, expect, () => driver?.parseUnit(spec.address));
  const points: PlannedPoint<unknown>[] = [];
  const names: string[] = [];
  for (const [point, { address, poll }] of Object.entries(spec.points)) {
    const own =
      profile !== undefined && Object.hasOwn(profile.spec.points, point)
        ? profile.spec.points[point]
        : undefined;
    if (own === undefined) {
      if (profile !== undefined) expect(["points", point], point, `a point of the profile ${spec.profile}`);
      continue;
    }
    const parsed = attempt(["points", point, "address"], address, expect, () =>
      driver?.parseAddress(address, own),
    );
    points.push({ number: points.length, address: parsed, spec: own, intervalMs: poll ?? spec.poll });
    names.push(point);
  }
  if (problems.length > 0 || profile === undefined || driver === undefined)
    throw new AppError("hardware.unfit", problems.join("; "), { details: { problems } });
  return {
    name,
    id: spec.id ?? name,
    spec,
    version: `${generationOf(spec)}/${generationOf(profile.spec)}`,
    generation: generationOf(spec),
    profile,
    driver,
    settings,
    unit,
    points,
    names,
    reads: driver.plan(unit, points, settings),
  };
}

type Expect = (path: readonly (string | number)[], value: unknown, rule: string) => void;

function attempt<T>(path: readonly string[], value: unknown, expect: Expect, parse: () => T): T | undefined {
  try {
    return parse();
  } catch (thrown) {
    const error = AppError.from(thrown);
    if (error.family !== "caller") throw error;
    expect(path, value, `what the driver takes: ${error.message}`);
    return undefined;
  }
}

/** The settings of a driver are text in a Device, whatever type they have. */
function settingsOf(schema: Schema, given: Readonly<Record<string, string>>, expect: Expect): unknown {
  const typed: Record<string, unknown> = {};
  for (const [key, text] of Object.entries(given)) {
    const own = schema.properties?.[key]?.type;
    const isNumber =
      (own === "integer" || own === "number") && text.trim() !== "" && !Number.isNaN(Number(text));
    const isFlag = own === "boolean" && (text === "true" || text === "false");
    typed[key] = isNumber ? Number(text) : isFlag ? text === "true" : text;
  }
  const { value, problems } = checkValue(schema, typed);
  for (const problem of problems) expect(["settings", ...problem.path], problem.value, problem.rule);
  return value;
}
