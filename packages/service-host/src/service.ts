/** What a service is to the process that runs it. */
import type { Bus } from "@myelin/bus";
import type { Schema, Snapshot } from "@myelin/config";
import type { Clock, Component } from "@myelin/kernel";
import type { Logger, MetricsRegistry, PluginMeter, Tracing } from "@myelin/observability";
import type { PlatformConfig } from "./platform-config.js";

/** Everything a service gets from outside; it takes nothing else. */
export interface ServiceContext<C> {
  /** The service's own section. */
  readonly config: C;
  readonly platform: PlatformConfig;
  /** Stable name of the process; with the bus's incarnation it names this start. */
  readonly instance: string;
  readonly version: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly metrics: MetricsRegistry;
  /** The four metrics of a plugin instance. */
  readonly pluginMeter: (kind: string, instance: string) => PluginMeter;
  readonly tracing: Tracing;
  readonly bus: Bus;
  /** Adds a read-only JSON page to the admin port, for example `/sessions`. */
  addPage(path: string, page: () => unknown): void;
  /**
   * Asks the process to drain and end as if its supervisor had, so that it is started anew: for what only another start can mend.
   * Not for a device, broker or store that went away. Later calls do nothing. @param reason a constant sentence for the log
   */
  requestStop(reason: string): void;
  /** Told of each state of the resources when it is in force; absent: whoever runs the process does not ask. */
  readonly onResources?: ((snapshot: Snapshot) => void) | undefined;
}

/** One service. Several may share a process. */
export interface Service<C = unknown> {
  /** Also its name in logs and on the command line: `ipc-bridge`. */
  readonly name: string;
  /** Key of its settings: `ipcBridge`. */
  readonly section: string;
  readonly schema: Schema<C>;
  /** Called once, before anything has started; does no I/O but loading code. Components in start order, inputs last. */
  create(context: ServiceContext<C>): readonly Component[] | Promise<readonly Component[]>;
}

/** Any service, for code that treats all alike. */
export interface AnyService {
  readonly name: string;
  readonly section: string;
  readonly schema: Schema;
  create(context: ServiceContext<never>): readonly Component[] | Promise<readonly Component[]>;
}

/** Keeps the type of the settings together with the service. */
export function defineService<C>(service: Service<C>): Service<C> {
  return service;
}
