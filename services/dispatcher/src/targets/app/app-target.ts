/** Delivers to an application service: one of its instances per partition, through the bridge that holds it. */
import { subjects } from "@myelin/contract";
import type { AppInstance } from "../../core/app-directory.js";
import type { LinkOutlet, Peer } from "../../core/link-outlet.js";
import { rendezvous } from "../../core/rendezvous.js";
import type { Outlet, OutletEvents, Target, TargetContext, TargetPlugin, Way } from "../target.js";

class AppTarget implements Target {
  readonly name: string;
  readonly whenLagging = "overflow";
  private readonly outlets = new Map<LinkOutlet, Way>();
  private release: (() => void) | undefined;

  constructor(
    private readonly app: string,
    private readonly context: TargetContext,
  ) {
    this.name = `app:${app}`;
  }

  async start(): Promise<void> {
    this.release = this.context.onChange(this.name, (gone) => this.reassign(gone));
  }

  async stop(): Promise<void> {
    this.release?.();
  }

  openOutlet(way: Way, events: OutletEvents): Outlet {
    const outlet: LinkOutlet = this.context.links.open({ target: this.app, way, events }, () => {
      this.outlets.delete(outlet);
    });
    this.outlets.set(outlet, way);
    this.assign(outlet, way);
    return outlet;
  }

  private reassign(gone: readonly string[]): void {
    for (const [outlet, way] of this.outlets) {
      this.assign(outlet, way);
      for (const key of gone) outlet.forget(key);
    }
  }

  private assign(outlet: LinkOutlet, way: Way): void {
    const { apps } = this.context;
    const eligible = [...apps.instances(this.app)].filter((instance) => instance.eligible);
    const chosen = rendezvous(eligible, nameOf, String(way.partition));
    outlet.assign(chosen === undefined ? undefined : toPeer(chosen), (peer) => !apps.isRunning(peer.key));
  }
}

function nameOf(instance: AppInstance): string {
  return `${instance.bridge}/${instance.instance}`;
}

function toPeer({ key, bridge, instance, window }: AppInstance): Peer {
  return { key, subject: subjects.bridgeDeliver(bridge), targetInstance: instance, window };
}

/** `app: climate` */
export const appTarget: TargetPlugin<string> = {
  kind: "app",
  nameOf: (app) => app,
  specOf: (app) => app,
  create: (app, context) => new AppTarget(app, context),
};
