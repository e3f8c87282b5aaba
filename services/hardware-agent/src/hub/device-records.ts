/** Sees to it that the registry knows the devices of this node, with their profiles: then the hub treats them as any device. */
import type { DeviceFields, DeviceRecord, DeviceRegistryClient } from "@myelin/bus";
import { AppError, backoff, type Clock, type Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";

/** A device as the registry is to know it. */
export interface WantedDevice {
  readonly id: string;
  readonly profile: string;
  readonly description: string;
}

interface Options {
  readonly registry: Pick<DeviceRegistryClient, "get" | "write" | "patch">;
  readonly node: string;
  readonly clock: Clock;
  readonly log: Logger;
  /** The hub has just been told of this device's profile: what it was sent before could not be read by it. */
  readonly onTold: (id: string) => void;
}

/** What nobody wants any more stays in the registry, with its history: removing it is for people. */
export class DeviceRecords implements Component {
  readonly name = "device-records";
  readonly #options: Options;
  readonly #ending = new AbortController();
  #open = new Map<string, WantedDevice>();
  readonly #done = new Map<string, string>();
  #running: Promise<void> | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  async start(): Promise<void> {
    // Begins with the first devices.
  }

  async stop(): Promise<void> {
    this.#ending.abort(new AppError("operation.aborted", "devices are no longer told of"));
    await this.#running;
  }

  /** These are driven now. */
  want(devices: readonly WantedDevice[]): void {
    this.#open = new Map(
      devices
        .filter(({ id, profile }) => this.#done.get(id) !== profile)
        .map((device) => [device.id, device]),
    );
    if (this.#open.size > 0) this.#running ??= this.#run().finally(() => (this.#running = undefined));
  }

  async #run(): Promise<void> {
    const { clock, log, onTold } = this.#options;
    const { signal } = this.#ending;
    const waits = backoff({ initialMs: 200, maxMs: 10_000 });
    while (this.#open.size > 0 && !signal.aborted) {
      for (const [id, device] of this.#open) {
        if (signal.aborted) return;
        try {
          if (await this.#tell(device)) onTold(id);
          this.#done.set(id, device.profile);
          if (this.#open.get(id) === device) this.#open.delete(id);
          waits.reset();
        } catch (thrown) {
          const error = AppError.from(thrown);
          log.debug({ device: id, code: error.code }, "the registry cannot be told of a device, will retry");
          if (error.retryable || error.family === "world") break;
          log.warn({ device: id, err: error }, "the registry refuses a device");
          this.#done.set(id, device.profile);
          this.#open.delete(id);
        }
      }
      if (this.#open.size > 0) await clock.sleep(waits.nextMs(), signal).catch(() => undefined);
    }
  }

  /** True when the registry did not know it so. */
  async #tell({ id, profile, description }: WantedDevice): Promise<boolean> {
    const { registry, node } = this.#options;
    const known: DeviceRecord | undefined = await registry.get("", id).catch((thrown: unknown) => {
      if (AppError.is(thrown) && thrown.code === "device.unknown") return undefined;
      throw thrown;
    });
    if (known?.profile === profile) return false;
    if (known !== undefined) await registry.patch("", id, { profile });
    else {
      const device: DeviceFields = { tenant: "", id, profile, description, tags: { "edge-node": node } };
      await registry.write({ device, expected: 0 });
    }
    return true;
  }
}
