/** What apps may ask of the platform itself, by `platform/<name>`. */
import type { DeviceCommandClient } from "@myelin/bus";
import type { KnownInstance } from "./announcer.js";

/** `payload` is whatever the app sent; methods that take arguments parse it as JSON. */
export interface PlatformCall {
  readonly app: string;
  readonly payload: Buffer;
  readonly timeoutMs: number;
}

/** One method; the answer is plain data and is sent as JSON. */
export interface PlatformMethod {
  readonly name: string;
  /** Called once per request. @throws AppError as the app shall see it */
  call(call: PlatformCall): Promise<unknown>;
}

/** What methods may look at. */
export interface PlatformContext {
  readonly bridge: string;
  readonly version: string;
  readonly wallMs: () => number;
  readonly apps: () => Iterable<KnownInstance>;
  readonly commands: Pick<DeviceCommandClient, "submit" | "get" | "next" | "cancel">;
}

/** By name. */
export type PlatformMethods = ReadonlyMap<string, PlatformMethod>;
