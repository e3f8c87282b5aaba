/** Delivers to a group of a shared subscription: each share to one of the listeners and homes of sessions that have members. */
import { groupLinkName, MAX_TOKEN_CHARS, subjects } from "@myelin/contract";
import { CreditWindow } from "../../core/credit-window.js";
import { homeNamed } from "../../core/group-directory.js";
import type { Peer } from "../../core/link-outlet.js";
import type { WhenLagging } from "../../core/outlet.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";
import { GroupOutlet } from "./group-outlet.js";

/** What telemetry may be on the way to one listener for this group, and what may be to one home. */
const WINDOW_ENVELOPES = 65_536;
const WINDOW_BYTES = 8 * 1024 * 1024;
/** The same of events to a listener, which holds those that members have no room for: nobody else must wait for them. */
const EVENT_WINDOW_BYTES = 512 * 1024;

/** The key is part of a subject of the overflow, where each of its bytes may take three; nobody names groups like that. */
const MAX_KEPT_BYTES = Math.floor(MAX_TOKEN_CHARS / 3);

class GroupTarget implements Target {
  readonly name: string;
  readonly whenLagging: WhenLagging;
  private readonly outlets = new Set<GroupOutlet>();
  /** By listener; one that has started anew is another. */
  private readonly windows = {
    telemetry: new Map<string, CreditWindow>(),
    event: new Map<string, CreditWindow>(),
  };
  private release: (() => void) | undefined;

  constructor(
    private readonly key: string,
    private readonly context: TargetContext,
  ) {
    this.name = `group:${key}`;
    this.whenLagging = Buffer.byteLength(key) > MAX_KEPT_BYTES ? "drop" : "overflow";
  }

  async start(): Promise<void> {
    this.release = this.context.onChange(this.name, () => this.changed());
  }

  async stop(): Promise<void> {
    this.release?.();
  }

  /** Its members are connections: when the last one is gone, nobody is there to wait for. */
  keptFor(): string | undefined {
    const { listeners } = this.context;
    return listeners.groups.has(this.key) || !listeners.knowsAll ? "" : undefined;
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const { links } = this.context;
    const target = groupLinkName(this.key);
    const outlet = new GroupOutlet({
      target,
      way,
      events,
      context: links.context,
      open: (ofLink) => links.open({ target, way, events: ofLink }, () => {}),
      peerOf: (name) => this.peerOf(name, way),
      placeOf: (name) => {
        const partition = homeNamed(name);
        return partition === undefined ? "" : String(this.context.homes.epochOf(partition));
      },
      onClose: () => this.outlets.delete(outlet),
    });
    this.outlets.add(outlet);
    outlet.setMembers(this.members());
    return outlet;
  }

  private peerOf(name: string, way: Way): Peer | undefined {
    const { links, homes } = this.context;
    const partition = homeNamed(name);
    if (partition === undefined) {
      const targetInstance = links.newInstance(name);
      const window = this.windowOf(name, way);
      return { key: targetInstance, subject: subjects.listenerDeliver(name), targetInstance, window };
    }
    const epoch = homes.epochOf(partition);
    if (epoch === 0) return undefined;
    // A home takes what is addressed to its epoch.
    const targetInstance = links.newInstance(String(epoch));
    const subject = subjects.sessionDeliver(partition);
    return { key: targetInstance, subject, targetInstance, window: this.windowOf(name, way) };
  }

  private changed(): void {
    const members = this.members();
    for (const windows of Object.values(this.windows)) {
      for (const listener of windows.keys()) if (!members.has(listener)) windows.delete(listener);
    }
    for (const outlet of this.outlets) outlet.setMembers(members);
  }

  private members(): ReadonlyMap<string, number> {
    return new Map(this.context.listeners.groups.membersOf(this.key));
  }

  private windowOf(name: string, { lane }: Way): CreditWindow {
    const windows = this.windows[lane];
    let window = windows.get(name);
    if (window === undefined) {
      const isHeld = lane === "event" && homeNamed(name) === undefined;
      window = new CreditWindow(WINDOW_ENVELOPES, isHeld ? EVENT_WINDOW_BYTES : WINDOW_BYTES);
      windows.set(name, window);
    }
    return window;
  }
}

/** Made by the dispatcher for each group that has members; not written in routes. */
export const groupTarget: TargetPlugin<string> = {
  kind: "group",
  nameOf: (key) => key,
  specOf: (key) => key,
  create: (key, context) => new GroupTarget(key, context),
};
