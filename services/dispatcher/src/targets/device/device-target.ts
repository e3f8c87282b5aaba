/** Sends messages to a connected device, through the owner of its partition. */
import { app, BatchView, control, isPlatformTopic, partitionOf, subjects } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import { isExpired } from "../../core/expiry.js";
import { type SinkBatch, SinkOutlet } from "../../core/sink-outlet.js";
import type { LeftOut, Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

/** What stands under `device` in a route. */
export interface DeviceSpec {
  readonly id: string;
  readonly path: string;
  /** Milliseconds after its arrival within which the device must be given a message; later it is left out. */
  readonly ttl?: number | undefined;
}

interface Progress {
  next: number;
  expired: number;
  refused: number;
}

const DEFAULT_TTL_MS = 3_600_000;
const TIMEOUT_MS = 5_000;

class DeviceTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly view = new BatchView();
  /** Where a batch goes on that is tried again. */
  private readonly progress = new WeakMap<Buffer, Progress>();

  constructor(
    private spec: DeviceSpec,
    private readonly context: TargetContext,
  ) {
    this.name = `device:${deviceName(spec)}`;
  }

  async start(): Promise<void> {}

  async stop(): Promise<void> {}

  configure(spec: DeviceSpec): void {
    this.spec = spec;
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { clock, log } = this.context.ports;
    return new SinkOutlet({
      way,
      events,
      clock,
      onError: (err) => log.debug({ err, target: this.name }, "device cannot be given messages, will retry"),
      writer: { maxGroup: 1, write: (batches) => this.write(batches, way) },
      windowBytes: 64 * 1024,
    });
  }

  private async write(batches: readonly SinkBatch[], way: Way): Promise<readonly LeftOut[]> {
    const leftOut: LeftOut[] = [];
    for (const { data } of batches) {
      const progress = this.progress.get(data) ?? { next: 0, expired: 0, refused: 0 };
      this.progress.set(data, progress);
      const requests = this.requestsOf(data, progress.next, way);
      for (const request of requests) {
        if (request === undefined) progress.expired++;
        else if (!(await this.send(request))) progress.refused++;
        progress.next++;
      }
      leftOut.push({ expired: progress.expired, refused: progress.refused });
    }
    return leftOut;
  }

  /** The messages of a batch from one on; undefined stands for one that is too old. */
  private requestsOf(data: Buffer, from: number, way: Way): (control.DownlinkRequest | undefined)[] {
    const { id, path, ttl = DEFAULT_TTL_MS } = this.spec;
    const nowUs = this.context.ports.clock.wallUs();
    const oldestUs = nowUs - ttl * 1000;
    const { view } = this;
    const requests: (control.DownlinkRequest | undefined)[] = [];
    view.reset(data);
    for (let i = 0; view.next(); i++) {
      if (i < from) continue;
      const { ingestTimeUs } = view;
      const old = (ingestTimeUs !== 0 && ingestTimeUs < oldestUs) || isExpired(view, nowUs);
      requests.push(
        old
          ? undefined
          : {
              tenant: view.tenant,
              deviceId: id,
              path,
              payload: view.payload(),
              contentType: view.contentType,
              waitForDevice: way.lane === "event",
              timeoutMs: TIMEOUT_MS,
              traceparent: view.traceparent,
              connectionEpoch: 0,
            },
      );
    }
    return requests;
  }

  /** False when the device will never take it. @throws AppError when it may later */
  private async send(request: control.DownlinkRequest): Promise<boolean> {
    const { ports } = this.context;
    const partition = partitionOf(request.tenant, request.deviceId, ports.partitions);
    const answer = await ports.request(
      subjects.downlink(partition),
      control.DownlinkRequest.encode(request).finish(),
      TIMEOUT_MS + 1_000,
    );
    const { state, error } = control.DownlinkResult.decode(answer);
    if (state !== app.SendState.REFUSED) return true;
    const refusal = AppError.fromWire(error);
    if (!refusal.retryable) return false;
    throw refusal;
  }
}

/** Read back by `specOf`: the id is the part before the first slash. */
function deviceName({ id, path }: DeviceSpec): string {
  return `${id.replaceAll("%", "%25").replaceAll("/", "%2F")}/${path}`;
}

function fromName(name: string): DeviceSpec {
  const at = name.indexOf("/");
  return { id: name.slice(0, at).replaceAll("%2F", "/").replaceAll("%25", "%"), path: name.slice(at + 1) };
}

/** `device: { id: display-1, path: display/text }` */
export const deviceTarget: TargetPlugin<DeviceSpec> = {
  kind: "device",
  nameOf: deviceName,
  specOf: fromName,
  create: (spec, context) => {
    if (isPlatformTopic(spec.path)) {
      throw new AppError("route.invalid", `${spec.path} belongs to commands and shadows`);
    }
    return new DeviceTarget(spec, context);
  },
};
