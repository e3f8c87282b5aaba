/** Devices behind a listener that speaks to dispatchers as a real one does: connections, presence, downlink. */
import type { Bus } from "@myelin/bus";
import { app, control, Protocol, partitionOf, subjects } from "@myelin/contract";
import { PARTITIONS, type Producer } from "./box.js";

/** What a device has been given. */
export interface Given {
  readonly id: string;
  readonly command: string;
  readonly parameters: Readonly<Record<string, unknown>>;
}

/** What a device does with a message; what it returns is what its connection says of it. */
export type Behaviour = (
  given: Given,
  device: FakeDevice,
) => "acknowledged" | "written" | string | Promise<string>;

/** A device that remembers the ids of what it was given, as devices must. */
export class FakeDevice {
  readonly given: Given[] = [];
  readonly executed: string[] = [];
  epoch = 0;
  isOnline = false;

  constructor(
    readonly id: string,
    readonly behaviour: Behaviour,
    private readonly producer: Producer,
  ) {}

  /** Does it once, whatever it is given again. */
  execute({ id }: Given): void {
    if (!this.executed.includes(id)) this.executed.push(id);
  }

  answer(id: string, status: string, reason = ""): Promise<void> {
    const path = `$aws/commands/things/${this.id}/executions/${id}/response/json`;
    const statusReason = { reasonCode: reason };
    return this.producer.event(this.id, path, JSON.stringify({ status, statusReason }));
  }

  report(value: unknown): Promise<void> {
    return this.producer.event(this.id, "report", JSON.stringify(value));
  }
}

/** Beats, tells who is connected, and hands out what comes. */
export class FakeDevices implements Disposable {
  readonly devices = new Map<string, FakeDevice>();
  private readonly ends: (() => void)[] = [];
  private readonly timer: NodeJS.Timeout;

  constructor(
    private readonly bus: Bus,
    private readonly producer: Producer,
  ) {
    const beat = () =>
      bus.publish(
        subjects.heartbeat("listener"),
        control.Heartbeat.encode({
          service: "listener",
          instance: bus.instance,
          incarnation: bus.incarnation,
          atUs: Date.now() * 1_000,
          draining: false,
          version: "test",
          agent: undefined,
        }).finish(),
      );
    beat();
    this.timer = setInterval(beat, 500);
    for (let partition = 0; partition < PARTITIONS; partition++)
      this.ends.push(bus.subscribe(subjects.presenceSync(partition), () => this.replay(partition)));
    this.ends.push(bus.serve(subjects.listenerDownlink(bus.instance), (data) => this.hand(data)));
  }

  add(id: string, behaviour: Behaviour, isOnline = true): FakeDevice {
    const device = new FakeDevice(id, behaviour, this.producer);
    this.devices.set(id, device);
    if (isOnline) this.connect(device);
    return device;
  }

  connect(device: FakeDevice): void {
    device.isOnline = true;
    device.epoch += 1;
    this.tell(device);
  }

  disconnect(device: FakeDevice): void {
    device.isOnline = false;
    this.tell(device);
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
    for (const end of this.ends) end();
  }

  private replay(partition: number): void {
    const all = [...this.devices.values()].filter(
      ({ id, isOnline }) => isOnline && partitionOf("", id, PARTITIONS) === partition,
    );
    this.send(partition, true, all);
  }

  private tell(device: FakeDevice): void {
    this.send(partitionOf("", device.id, PARTITIONS), false, [device]);
  }

  private send(partition: number, reset: boolean, devices: readonly FakeDevice[]): void {
    const changes = devices.map(({ id, isOnline, epoch }) => ({
      tenant: "",
      deviceId: id,
      online: isOnline,
      connectionEpoch: epoch,
      protocol: Protocol.MQTT,
      atUs: Date.now() * 1_000,
      address: "",
      reason: "",
      beginsAnew: false,
      will: Buffer.alloc(0),
    }));
    const { instance: listener, incarnation } = this.bus;
    const batch = control.PresenceBatch.encode({ listener, incarnation, partition, reset, changes });
    this.bus.publish(subjects.presence(partition), batch.finish());
  }

  private async hand(data: Uint8Array): Promise<Uint8Array> {
    const { deviceId, payload } = control.DownlinkRequest.decode(data);
    const device = this.devices.get(deviceId);
    const said = device?.isOnline === true ? await this.give(device, payload) : "device.not_connected";
    const state = said === "acknowledged" ? app.SendState.ACKNOWLEDGED : app.SendState.WRITTEN;
    if (said === "acknowledged" || said === "written")
      return control.DownlinkResult.encode({ state, error: undefined }).finish();
    const error = { code: said, message: "no", retryable: true, detailsJson: "" };
    return control.DownlinkResult.encode({ state: app.SendState.REFUSED, error }).finish();
  }

  private async give(device: FakeDevice, payload: Uint8Array): Promise<string> {
    const given = JSON.parse(Buffer.from(payload).toString("utf8")) as Given;
    device.given.push(given);
    return await device.behaviour(given, device);
  }
}
