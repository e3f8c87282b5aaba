/** An application that speaks frames by hand: what a stock client in any language would do. */
import {
  type app,
  BatchView,
  decodeAppFrame,
  encodeAppFrame,
  type envelope,
  frameBody,
  TAG_FRAME_DELIVER,
} from "@myelin/contract";
import { connectGrpc, connectUds, type FrameStream } from "@myelin/rpc";
import { waitFor } from "@myelin/testkit";

export type Frame = NonNullable<app.AppFrame["frame"]>;

/** Frames other than deliveries, and the deliveries, as they came. */
export class RawApp implements Disposable {
  readonly frames: Frame[] = [];
  readonly batches: { readonly hop: envelope.Hop; readonly payloads: string[]; readonly bytes: Buffer }[] =
    [];
  closed = false;
  /** What it answers to pings; undefined: nothing. */
  healthy: boolean | undefined = true;

  constructor(readonly stream: FrameStream) {
    stream.onFrame((bytes) => {
      const batch = frameBody(bytes, TAG_FRAME_DELIVER);
      if (batch === undefined) this.#control(decodeAppFrame(bytes));
      else {
        const view = new BatchView().reset(batch);
        const payloads: string[] = [];
        while (view.next()) payloads.push(view.payload().toString());
        this.batches.push({ hop: view.hop, payloads, bytes: batch });
      }
    });
    stream.onDrain(() => undefined);
    stream.onClose(() => {
      this.closed = true;
    });
  }

  #control(frame: Frame): void {
    this.frames.push(frame);
    if (frame.$case !== "ping" || this.healthy === undefined) return;
    this.send({ $case: "pong", value: { nonce: frame.value.nonce, healthy: this.healthy } });
  }

  send(frame: Frame): void {
    this.stream.send(encodeAppFrame(frame));
  }

  ack(hop: envelope.Hop): void {
    const { partition, lane, epoch, sequence } = hop;
    this.send({ $case: "ack", value: { partition, lane, epoch, sequence } });
  }

  /** The first frame of a kind, waited for. */
  async frame<C extends Frame["$case"]>($case: C): Promise<Extract<Frame, { $case: C }>> {
    const found = await waitFor(() => this.frames.find((f) => f.$case === $case), {
      what: `a frame ${$case}`,
    });
    return found as Extract<Frame, { $case: C }>;
  }

  /** Waits for so many messages and gives their payloads. */
  async payloads(count: number): Promise<string[]> {
    await waitFor(() => this.received.length >= count, { what: `${count} messages` });
    return this.received;
  }

  get received(): string[] {
    return this.batches.flatMap((b) => b.payloads);
  }

  async end(): Promise<void> {
    await waitFor(() => this.closed, { what: "the end of the stream" });
  }

  [Symbol.dispose](): void {
    this.stream.destroy();
  }
}

export async function connectRaw(target: string): Promise<RawApp> {
  return new RawApp(
    target.startsWith("unix:") ? await connectUds(target.slice(5)) : await connectGrpc(target),
  );
}

export const HELLO: app.AppHello = {
  version: 1,
  app: "sample",
  instance: "",
  subscriptions: [{ filter: "#", deviceIds: [], kinds: [], protocols: [], ports: [] }],
  creditEnvelopes: 0,
  creditBytes: 0,
  token: "",
  healthUrl: "",
  sdk: "test",
  serves: [],
};

/** Connects and says hello; resolves after the welcome. */
export async function connectApp(target: string, hello: Partial<app.AppHello> = {}): Promise<RawApp> {
  const raw = await connectRaw(target);
  raw.send({ $case: "hello", value: { ...HELLO, ...hello } });
  await raw.frame("welcome");
  return raw;
}
