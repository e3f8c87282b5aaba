/** Takes the commands of the hub for the devices of this agent, has them executed, and says how they ended. */
import type { Bus, EventSender, EventTicket, Unsubscribe } from "@myelin/bus";
import { app, control, createChannel, Kind, Protocol, partitionOf, subjects } from "@myelin/contract";
import { AppError, type Component } from "@myelin/kernel";
import type { Logger } from "@myelin/observability";
import type { ActuatedDevice } from "../actuation/actuated-device.js";
import type { CommandOrder } from "../actuation/actuator.js";
import type { CommandResult } from "../actuation/command-result.js";

const REQUEST = /^\$aws\/commands\/things\/[^/]+\/executions\/([^/]+)\/request\/json$/;
/** Commands under way; one more is refused, and the hub tries again. */
const MAX_UNDER_WAY = 1_024;

interface Options {
  readonly bus: Bus;
  readonly sender: EventSender;
  readonly partitions: number;
  readonly log: Logger;
  readonly device: (id: string) => ActuatedDevice | undefined;
  readonly execute: (order: CommandOrder, device: ActuatedDevice) => Promise<CommandResult>;
}

/** The downlink of the devices: acknowledged when the command is taken, answered on its own topic when it has ended. */
export class CommandDesk implements Component, EventTicket {
  readonly name = "commands";
  readonly #options: Options;
  readonly #underWay = new Set<Promise<void>>();
  #end: Unsubscribe | undefined;

  constructor(options: Options) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const { bus } = this.#options;
    this.#end = bus.serve(subjects.listenerDownlink(bus.instance), (data) => this.#answer(data));
  }

  async stop(): Promise<void> {
    this.#end?.();
    this.#end = undefined;
    await Promise.allSettled(this.#underWay);
  }

  /** Called by the event sender: an answer that the stream refuses is asked for again by the hub, under the same key. */
  settled(_numbers: readonly number[], _from: number, _to: number, error: AppError | undefined): void {
    if (error !== undefined) this.#options.log.warn({ err: error }, "the answer to a command was not stored");
  }

  #answer(data: Uint8Array): Uint8Array {
    try {
      this.#take(control.DownlinkRequest.decode(data));
      return control.DownlinkResult.encode({ state: app.SendState.ACKNOWLEDGED, error: undefined }).finish();
    } catch (thrown) {
      const { code, message, retryable } = AppError.from(thrown).toWire();
      const error = { code, message, retryable, detailsJson: "" };
      return control.DownlinkResult.encode({ state: app.SendState.REFUSED, error }).finish();
    }
  }

  #take({ deviceId, path, payload }: control.DownlinkRequest): void {
    const { device: find, execute, log } = this.#options;
    const device = find(deviceId);
    if (device === undefined)
      throw new AppError("device.not_connected", `the device ${deviceId} is not driven here`);
    const id = REQUEST.exec(path)?.[1];
    if (id === undefined)
      throw new AppError("command.unsupported", `hardware takes commands only, not what goes to ${path}`);
    if (this.#underWay.size >= MAX_UNDER_WAY)
      throw new AppError("queue.full", `${MAX_UNDER_WAY} commands are under way`);
    const order = orderOf(payload, device);
    const work = execute(order, device)
      .then((result) => this.#tell(deviceId, id, result))
      .catch((err: unknown) => log.error({ err, device: deviceId }, "a command could not be answered"))
      .finally(() => this.#underWay.delete(work));
    this.#underWay.add(work);
  }

  #tell(deviceId: string, id: string, result: CommandResult): void {
    const { sender, partitions } = this.#options;
    const head = {
      tenant: "",
      deviceId,
      path: `$aws/commands/things/${deviceId}/executions/${id}/response/json`,
      kind: Kind.RESPONSE,
      protocol: Protocol.HARDWARE,
      contentType: "application/json",
      port: "",
      profile: "",
    };
    const channel = createChannel(0, head, partitionOf("", deviceId, partitions));
    const payload = Buffer.from(JSON.stringify(answerOf(result)));
    sender.append(channel, payload, 0, payload.length, this, 0);
  }
}

function orderOf(payload: Uint8Array, device: ActuatedDevice): CommandOrder {
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(Buffer.from(payload).toString("utf8")) as Record<string, unknown>;
  } catch (cause) {
    throw new AppError("command.invalid", "the command is no JSON", { cause });
  }
  const { id, command, expiresAt, parameters = {} } = value;
  const expiresAtMs = Date.parse(String(expiresAt));
  if (typeof id !== "string" || typeof command !== "string" || Number.isNaN(expiresAtMs))
    throw new AppError("command.invalid", "the command lacks its id, its name or its time");
  // Who asked, and whether they may, was judged by the hub, which alone knows them.
  const roles = device.profile.commands.get(command)?.spec.safety?.roles ?? [];
  return {
    key: id,
    command,
    parameters: parameters as Readonly<Record<string, unknown>>,
    roles,
    replayed: false,
    expiresAtMs,
  };
}

/** What the ladder takes. A mismatch and an unknown outcome are failures after which nothing is certain. */
function answerOf(result: CommandResult): object {
  const because = (reasonCode: string, reasonDescription: string): object => ({
    reasonCode,
    reasonDescription,
  });
  switch (result.state) {
    case "verified":
    case "executed":
      return { status: "SUCCEEDED" };
    case "mismatch": {
      const text = `${JSON.stringify(result.value)} was read back instead of ${JSON.stringify(result.expected)}`;
      return { status: "FAILED", statusReason: because("MISMATCH", text) };
    }
    case "rejected":
      return { status: "REJECTED", statusReason: because(result.reason, result.message) };
    case "expired":
      return { status: "REJECTED", statusReason: because("expired", "the time of the command was over") };
    case "unknown":
      return { status: "FAILED", statusReason: because("outcome_unknown", result.message) };
  }
}
