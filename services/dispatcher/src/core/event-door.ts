/** Refuses new events at the event stream before the streams that take what cannot be delivered are full. */
import type { StreamRoom } from "@myelin/bus";
import type { Clock, Component, Timer } from "@myelin/kernel";
import type { CoreLog } from "./ports.js";

/** Streams that take what a target cannot: shares of lagging targets, and what nobody wants. */
export type SideStream = "overflow" | "unrouted";

/** The streams as the door sees them. */
export interface DoorPorts {
  room(): Promise<Readonly<Record<"events" | SideStream, StreamRoom>>>;
  /** Closed, the event stream refuses what is published and keeps what it has. */
  setOpen(isOpen: boolean): Promise<void>;
  /** Who has most in the overflow, in batches. */
  mostWaiting(): Promise<readonly { readonly target: string; readonly batches: number }[]>;
}

/**
 * Shares of a side stream from which on events are refused: what was accepted before has the rest to itself. `backlog` counts what
 * lies in the event stream as if all of it would come here; it is looked at from `used` on, so that a backlog alone refuses nothing.
 */
const CLOSE = { used: 0.75, backlog: 0.9 };
/** Below these they are accepted again. */
const OPEN = { used: 0.65, backlog: 0.8 };
const LITTLE_USED = 0.1;
const LOOK_EVERY_MS = 1_000;
/** Storing this share of a stream since the last look makes it look at once. */
const LOOK_SHARE = 1 / 32;

/**
 * One per process. All dispatchers judge by the same figures and come to the same answer, so none of them must lead.
 * Nothing is asked of NATS while nothing is put aside and the door is open.
 */
export class EventDoor implements Component {
  readonly name = "event-door";
  /** As found or set last. */
  isOpen = true;
  /** How full the side streams are, 0 … 1, as found last. */
  readonly fill: Record<SideStream, number> = { overflow: 0, unrouted: 0 };
  private readonly storedBytes: Record<SideStream, number> = { overflow: 0, unrouted: 0 };
  private readonly lookAfterBytes: Record<SideStream, number> = { overflow: 0, unrouted: 0 };
  private timer: Timer | undefined;
  private isDirty = true;
  private isStopped = true;
  private looking: Promise<void> | undefined;
  private again = false;

  constructor(
    private readonly options: { readonly ports: DoorPorts; readonly clock: Clock; readonly log: CoreLog },
  ) {}

  /** Resolves when the door is as it should be, or could not be looked at. */
  async start(): Promise<void> {
    this.isStopped = false;
    this.timer = this.options.clock
      .setInterval(() => {
        if (this.isDirty) void this.look();
      }, LOOK_EVERY_MS)
      .unref();
    await this.look();
  }

  async stop(): Promise<void> {
    this.isStopped = true;
    this.options.clock.clear(this.timer);
    await this.looking;
  }

  /** Something was stored in a side stream. */
  stored(stream: SideStream, bytes: number): void {
    this.isDirty = true;
    this.storedBytes[stream] += bytes;
    if (this.storedBytes[stream] >= this.lookAfterBytes[stream]) void this.look();
  }

  private look(): Promise<void> {
    if (this.isStopped) return Promise.resolve();
    if (this.looking !== undefined) this.again = true;
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = undefined;
      if (!this.again) return;
      this.again = false;
      void this.look();
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const { ports, log } = this.options;
    this.storedBytes.overflow = this.storedBytes.unrouted = 0;
    try {
      const { events, overflow, unrouted } = await ports.room();
      this.note("overflow", overflow);
      this.note("unrouted", unrouted);
      const limit = events.isOpen ? CLOSE : OPEN;
      const isOpen = [overflow, unrouted].every((side) => isBelow(limit, side, events.bytes));
      if (isOpen !== events.isOpen) await ports.setOpen(isOpen);
      if (isOpen !== this.isOpen) await this.tell(isOpen);
      this.isOpen = isOpen;
      // While closed, and as long as anything lies in the overflow, the figures change by themselves.
      this.isDirty = !isOpen || overflow.bytes > 0;
    } catch (err) {
      log.debug({ err }, "the room of the streams cannot be looked at, will retry");
    }
  }

  private note(stream: SideStream, { bytes, maxBytes }: StreamRoom): void {
    this.fill[stream] = share(bytes, maxBytes);
    this.lookAfterBytes[stream] = maxBytes > 0 ? maxBytes * LOOK_SHARE : Number.POSITIVE_INFINITY;
  }

  private async tell(isOpen: boolean): Promise<void> {
    const { log, ports } = this.options;
    const percent = (stream: SideStream): number => Math.round(this.fill[stream] * 100);
    const used = { overflowPercent: percent("overflow"), unroutedPercent: percent("unrouted") };
    if (isOpen) log.info(used, "events are accepted again");
    else {
      const waiting = await ports.mostWaiting();
      log.error(
        { ...used, waiting },
        "events are refused: too much waits for apps and targets that take nothing",
      );
    }
  }
}

function isBelow(limit: typeof CLOSE, { bytes, maxBytes }: StreamRoom, backlogBytes: number): boolean {
  const used = share(bytes, maxBytes);
  return used < limit.used && (used < LITTLE_USED || share(bytes + backlogBytes, maxBytes) < limit.backlog);
}

function share(bytes: number, maxBytes: number): number {
  return maxBytes > 0 ? bytes / maxBytes : 0;
}
