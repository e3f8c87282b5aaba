/** Brings points to what is desired of them by commands of the device's profile: one at a time for each device and point, through the one ladder. */
import type { CommandWish, DeviceCommand, DeviceCommandClient } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import type { ShadowKey } from "./api.js";
import type { Json } from "./json.js";
import type { Setter } from "./setters.js";

/** How an attempt ended that has not brought the point to where it should be. */
export interface Failure {
  readonly reason: string;
  /** The device does not want to. */
  readonly isRejected: boolean;
}

export interface CommandDriverOptions {
  readonly commands: Pick<DeviceCommandClient, "submit" | "reached" | "list" | "cancel">;
  /** Ends with the partition: what is under way goes on by itself, and the next owner finds it. */
  readonly signal: AbortSignal;
  /** An attempt is over; undefined: the device shows what was asked. `isOld`: something else is desired meanwhile. */
  ended(key: ShadowKey, failure: Failure | undefined, isOld: boolean): void;
}

interface Flight {
  readonly setter: Setter;
  readonly value: Json;
  command: DeviceCommand | undefined;
  isOld: boolean;
}

const AUTHOR: CommandWish["author"] = { kind: "shadow", name: "desired", roles: [] };
/** Long enough for a connection that comes back; the desired value is asked for again afterwards. */
const TTL_MS = 30_000;
/** Pieces in which an end is waited for. */
const WAIT_MS = 10_000;
/** Commands under way of one partition. Those beyond are begun when others have ended. */
const MAX_FLIGHTS = 256;
/** Of one device, looked through for one that an earlier owner has given. */
const MAX_LISTED = 100;
const OPEN = ["accepted", "routed", "delivered", "executed"] as const;

/** One per partition. */
export class CommandDriver {
  readonly #flights = new Map<string, Flight>();
  /** Devices by how many of their points are being driven. */
  readonly #busy = new Map<string, number>();

  constructor(private readonly options: CommandDriverOptions) {}

  /** Something is under way for this device. */
  isBusy({ tenant, device, name }: ShadowKey): boolean {
    return name === "" && this.#busy.size > 0 && this.#busy.has(`${tenant}\0${device}`);
  }

  /** Begins what is not under way yet. A point for which another value is under way comes to its end first, at once if the device does not have it. */
  drive(key: ShadowKey, wanted: readonly { readonly setter: Setter; readonly value: Json }[]): void {
    for (const { setter, value } of wanted) {
      const name = `${key.tenant}\0${key.device}\0${setter.point}`;
      const known = this.#flights.get(name);
      if (known !== undefined) {
        if (known.value !== value) this.#outdate(known);
        continue;
      }
      if (this.#flights.size >= MAX_FLIGHTS) continue;
      const flight: Flight = { setter, value, command: undefined, isOld: false };
      this.#flights.set(name, flight);
      void this.#fly(key, name, flight);
    }
  }

  async #fly(key: ShadowKey, name: string, flight: Flight): Promise<void> {
    const device = `${key.tenant}\0${key.device}`;
    this.#busy.set(device, (this.#busy.get(device) ?? 0) + 1);
    let failure: Failure | undefined;
    try {
      failure = await this.#attempt(key, flight);
    } catch (thrown) {
      failure = {
        reason: `${flight.setter.command} was refused: ${AppError.from(thrown).message}`,
        isRejected: false,
      };
    }
    this.#flights.delete(name);
    const left = this.#busy.get(device)! - 1;
    if (left === 0) this.#busy.delete(device);
    else this.#busy.set(device, left);
    if (!this.options.signal.aborted) this.options.ended(key, failure, flight.isOld);
  }

  async #attempt({ tenant, device }: ShadowKey, flight: Flight): Promise<Failure | undefined> {
    const { commands, signal } = this.options;
    const { setter, value } = flight;
    const { commands: open } = await commands.list({ tenant, device, states: OPEN, limit: MAX_LISTED });
    const isOurs = ({ author, name, isTerminal }: DeviceCommand): boolean =>
      author.kind === "shadow" && name === setter.command && !isTerminal;
    // An earlier owner has given it, and its end was not told to us.
    let command = open.find(isOurs);
    if (command === undefined) {
      const parameters = { [setter.parameter]: value };
      const wish = { tenant, device, name: setter.command, parameters, ttlMs: TTL_MS, author: AUTHOR };
      command = await commands.submit(wish);
    } else if (command.parameters[setter.parameter] !== value) flight.isOld = true;
    flight.command = command;
    if (flight.isOld) this.#cancel(command);
    while (!command.isTerminal && !signal.aborted)
      command = await commands.reached(command, "verified", WAIT_MS);
    return failureOf(command);
  }

  #outdate(flight: Flight): void {
    if (flight.isOld) return;
    flight.isOld = true;
    if (flight.command !== undefined) this.#cancel(flight.command);
  }

  #cancel({ tenant, id }: DeviceCommand): void {
    // The device may have it already: then it ends by itself.
    this.options.commands.cancel(tenant, id, AUTHOR).catch(() => undefined);
  }
}

function failureOf({ name, state, steps }: DeviceCommand): Failure | undefined {
  if (state === "verified") return undefined;
  const { cause = "", message = "" } = steps.at(-1) ?? {};
  const why = [cause, message].filter((text) => text !== "").join(": ");
  return {
    reason: `${name} ended ${state}${why === "" ? "" : ` (${why})`}`,
    isRejected: cause === "device_rejected",
  };
}
