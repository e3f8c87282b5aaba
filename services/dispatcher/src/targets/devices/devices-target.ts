/** Brings messages of devices to the desk where shadows, commands and rules are. */
import { AppError } from "@myelin/kernel";
import type { DeviceDesk } from "../../devices/device-desk.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { DeskOutlet } from "./desk-outlet.js";

class DevicesTarget implements Target {
  readonly name = "devices";
  readonly whenLagging = "overflow";

  constructor(
    private readonly context: TargetContext,
    private readonly desk: DeviceDesk,
  ) {}

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  openOutlet(way: Way, events: OutletEvents): Outlet {
    return new DeskOutlet(this.desk, this.context, way, events);
  }
}

/** Made by the dispatcher; not written in routes. */
export const devicesTarget: TargetPlugin<string> = {
  kind: "devices",
  nameOf: () => "desk",
  specOf: () => "desk",
  create: (_spec, context) => {
    if (context.desk === undefined) throw new AppError("route.invalid", "this process has no device desk");
    return new DevicesTarget(context, context.desk);
  },
};
