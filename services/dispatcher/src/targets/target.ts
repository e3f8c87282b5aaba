/** What every target kind must do. */
import type { Profile } from "@myelin/profile";
import type { AppDirectory } from "../core/app-directory.js";
import type { LinkHub } from "../core/link-hub.js";
import type { ListenerDirectory } from "../core/listener-directory.js";
import type { Target } from "../core/outlet.js";
import type { DispatcherPorts, Release } from "../core/ports.js";
import type { DeviceDesk } from "../devices/device-desk.js";
import type { Sinks } from "../history/sinks.js";
import type { RetainedKeeper } from "../retained/keeper.js";

export type { LeftOut, Outlet, OutletEvents, Target, Way } from "../core/outlet.js";

/** Everything outside that a target may use. */
export interface TargetContext {
  readonly ports: DispatcherPorts;
  readonly links: LinkHub;
  readonly apps: AppDirectory;
  readonly listeners: ListenerDirectory;
  /** Who is the home of the MQTT sessions of which partition. */
  readonly homes: { epochOf(partition: number): number };
  /** Tells of changes of an app's instances (`app:<name>`), of a listener (`listener:<name>`) or of a home (`sessions:<partition>`). */
  readonly onChange: (subject: string, listener: (gone: readonly string[]) => void) => Release;
  /** Files may be written below it; undefined when the process has no data directory. */
  readonly dataDir: string | undefined;
  /** Keeps retained messages; absent where none are kept. */
  readonly retained?: RetainedKeeper | undefined;
  /** Where shadows, commands and rules are; absent where there are none. */
  readonly desk?: DeviceDesk | undefined;
  /** The profile of a device; "unknown" while its record is being read. Absent: no device has one. */
  readonly profileOf?: ((tenant: string, device: string) => Profile | "unknown" | undefined) | undefined;
  /** The sinks in force. */
  readonly sinks?: Sinks | undefined;
}

/** A target kind. `Spec` is what stands under the kind's key in a route. */
export interface TargetPlugin<Spec = unknown> {
  /** Key in the registry and in a route's target. */
  readonly kind: string;
  /** Two specs of equal name are one target with one queue. Short and without secrets: it is a label in the books. */
  nameOf(spec: Spec): string;
  /** A spec of that name, for what waits for a target that no route names any more. Absent: nothing ever waits for this kind. */
  specOf?(name: string): unknown;
  /** Does no I/O. @throws AppError `route.invalid` when the process cannot serve such a target */
  create(spec: Spec, context: TargetContext): Target;
}

/** The registry's shape: key = folder = kind; imported on first use. */
export type TargetRegistry = Readonly<
  Record<string, () => Promise<{ readonly plugin: TargetPlugin<never> }>>
>;
