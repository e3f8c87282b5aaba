/** Knows every app: its subscriptions, kept while it is away, and its running instances, by what the bridges announce. */
import { type app, type control, type Head, isTopicFilter } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { CreditWindow } from "./credit-window.js";

/** One running instance of an app. */
export interface AppInstance {
  /** Unique over all times: bridge, its incarnation, and the instance's name. */
  readonly key: string;
  readonly bridge: string;
  readonly instance: string;
  /** May be given work. */
  readonly eligible: boolean;
  /** Request names that it answers. */
  readonly serves: readonly string[];
  readonly window: CreditWindow;
}

/** What is kept of an app while none of its instances runs. */
export interface AppRecord {
  readonly app: string;
  readonly subscriptions: readonly app.Subscription[];
}

/** Told of changes; called after the directory has changed. */
export interface AppDirectoryEvents {
  /**
   * The instances of an app have changed, or their health. `gone` are keys of instances whose bridge says that they are no more;
   * those of a bridge that merely fell silent are not among them, as they may live on.
   */
  instancesChanged(app: string, gone: readonly string[]): void;
  /** An app's subscriptions are new or different. `keep`: they differ from what is stored. */
  subscriptionsChanged(app: string, record: AppRecord, keep: boolean): void;
  appDeleted(app: string): void;
  /** An app is not taken, because there are too many; told again as long as its instances announce themselves. */
  appRefused(app: string, error: AppError): void;
}

export interface AppDirectoryOptions {
  readonly clock: Clock;
  readonly events: AppDirectoryEvents;
  /** The part of an instance's credit that this process may use: it owns so much of all partitions. */
  readonly creditShare: () => number;
  /** Silence after which a bridge counts as gone. */
  readonly bridgeTimeoutMs?: number;
  readonly maxApps?: number;
  readonly maxBridges?: number;
}

interface Bridge {
  readonly incarnation: number;
  sequence: number;
  heardAtMs: number;
  silent: boolean;
  readonly instances: ReadonlyMap<string, Instance>;
}

interface Instance extends AppInstance {
  readonly app: string;
  readonly subscriptions: readonly app.Subscription[];
  readonly creditEnvelopes: number;
  readonly creditBytes: number;
}

interface App {
  record: AppRecord;
  signature: string;
}

const DEFAULT_CREDIT = { envelopes: 65_536, bytes: 8 * 1024 * 1024 };
const MAX_APPS = 10_000;
const MAX_BRIDGES = 1_000;
/** A bridge that fell silent may come back with the sessions it had; after this long it is taken for a stranger. */
const FORGET_AFTER_MS = 24 * 3_600_000;

/** Fed by announcements and by the stored records; asked by the targets of kind `app`. */
export class AppDirectory {
  private readonly bridges = new Map<string, Bridge>();
  private readonly apps = new Map<string, App>();
  private readonly timeoutMs: number;
  private readonly maxApps: number;
  private readonly maxBridges: number;

  constructor(private readonly options: AppDirectoryOptions) {
    this.timeoutMs = options.bridgeTimeoutMs ?? 3_000;
    this.maxApps = options.maxApps ?? MAX_APPS;
    this.maxBridges = options.maxBridges ?? MAX_BRIDGES;
  }

  /** Names of all apps that are known, running or away. */
  names(): Iterable<string> {
    return this.apps.keys();
  }

  /** True for an app that has ever come, until it is deleted. */
  has(name: string): boolean {
    return this.apps.has(name);
  }

  /** Running instances of an app. */
  *instances(name: string): IterableIterator<AppInstance> {
    for (const bridge of this.bridges.values()) {
      if (bridge.silent) continue;
      for (const instance of bridge.instances.values()) if (instance.app === name) yield instance;
    }
  }

  /** True while an instance with this key is announced. */
  isRunning(key: string): boolean {
    for (const bridge of this.bridges.values()) if (!bridge.silent && bridge.instances.has(key)) return true;
    return false;
  }

  /** What an earlier process kept of an app; ignored when the app is known already from a running instance. */
  restore(record: AppRecord): void {
    const running = [...this.instances(record.app)].length > 0;
    if (!running) this.setRecord(record, false);
  }

  /** The app was deleted by an operator, now or before this process began. Instances that still run announce it anew. */
  delete(name: string): void {
    this.apps.delete(name);
    this.options.events.appDeleted(name);
  }

  /** Takes an announcement; older ones than the last are ignored. */
  announced(announcement: control.AppAnnouncement): void {
    const { bridge: name, incarnation, sequence } = announcement;
    const known = this.bridges.get(name);
    if (known !== undefined && known.incarnation === incarnation && sequence <= known.sequence) return;
    if (known === undefined && this.bridges.size >= this.maxBridges) {
      const text = `${this.maxBridges} bridges are known already, this one is not taken`;
      for (const { app } of announcement.instances) this.refuse(app, text);
      return;
    }
    const before = known?.instances ?? new Map<string, Instance>();
    const after = new Map<string, Instance>();
    for (const given of announcement.instances) {
      const key = `${name}\0${incarnation}\0${given.instance}\0${given.app}`;
      after.set(key, this.createInstance(key, name, given, before.get(key)));
    }
    const heardAtMs = this.options.clock.nowMs();
    this.bridges.set(name, { incarnation, sequence, heardAtMs, silent: false, instances: after });
    this.compare(before, after, known?.silent === true);
  }

  /** Takes bridges out of work that have been silent for too long; called about twice a second. */
  sweep(): void {
    const now = this.options.clock.nowMs();
    for (const [name, bridge] of this.bridges) {
      const silentMs = now - bridge.heardAtMs;
      if (silentMs >= FORGET_AFTER_MS) this.bridges.delete(name);
      if (silentMs < this.timeoutMs || bridge.silent) continue;
      bridge.silent = true;
      const apps = new Set([...bridge.instances.values()].map((instance) => instance.app));
      for (const app of apps) this.options.events.instancesChanged(app, []);
    }
  }

  /** Applies a changed share of the credit to every window. */
  resizeWindows(): void {
    for (const bridge of this.bridges.values()) {
      for (const instance of bridge.instances.values()) {
        instance.window.resize(...this.shareOf(instance.creditEnvelopes, instance.creditBytes));
      }
    }
  }

  private createInstance(
    key: string,
    bridge: string,
    given: control.AppInstance,
    before: Instance | undefined,
  ): Instance {
    const creditEnvelopes = given.creditEnvelopes || DEFAULT_CREDIT.envelopes;
    const creditBytes = given.creditBytes || DEFAULT_CREDIT.bytes;
    const share = this.shareOf(creditEnvelopes, creditBytes);
    const window = before?.window ?? new CreditWindow(...share);
    if (
      before !== undefined &&
      (before.creditEnvelopes !== creditEnvelopes || before.creditBytes !== creditBytes)
    ) {
      window.resize(...share);
    }
    return {
      key,
      bridge,
      instance: given.instance,
      app: given.app,
      eligible: given.healthy && !given.draining,
      serves: given.serves,
      subscriptions: given.subscriptions,
      window,
      creditEnvelopes,
      creditBytes,
    };
  }

  private shareOf(envelopes: number, bytes: number): [number, number] {
    const share = this.options.creditShare();
    return [Math.max(1, Math.floor(envelopes * share)), Math.max(1, Math.floor(bytes * share))];
  }

  private compare(
    before: ReadonlyMap<string, Instance>,
    after: ReadonlyMap<string, Instance>,
    wasSilent: boolean,
  ): void {
    const changed = new Map<string, string[]>();
    const noteOf = (app: string): string[] => {
      const note = changed.get(app) ?? [];
      changed.set(app, note);
      return note;
    };
    for (const [key, instance] of before) if (!after.has(key)) noteOf(instance.app).push(key);
    for (const [key, instance] of after) {
      const old = before.get(key);
      const isNew = wasSilent || old === undefined || !this.apps.has(instance.app);
      if (isNew || old.eligible !== instance.eligible || !sameSubscriptions(old, instance)) {
        noteOf(instance.app);
      }
    }
    for (const [app, gone] of changed) {
      this.unite(app);
      this.options.events.instancesChanged(app, gone);
    }
  }

  /** The subscriptions of an app are those of its running instances together; while none runs, the last ones stay. */
  private unite(name: string): void {
    const united = new Map<string, app.Subscription>();
    let running = false;
    for (const instance of this.instances(name) as IterableIterator<Instance>) {
      running = true;
      for (const subscription of instance.subscriptions) {
        if (isTopicFilter(subscription.filter)) united.set(JSON.stringify(subscription), subscription);
      }
    }
    if (!running) return;
    const subscriptions = [...united].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, s]) => s);
    this.setRecord({ app: name, subscriptions }, true);
  }

  private refuse(name: string, text: string): void {
    this.options.events.appRefused(name, new AppError("limit.apps", text));
  }

  private setRecord(record: AppRecord, keep: boolean): void {
    const signature = JSON.stringify(record.subscriptions);
    const known = this.apps.get(record.app);
    if (known?.signature === signature) return;
    if (known === undefined && this.apps.size >= this.maxApps) {
      this.refuse(
        record.app,
        `${this.maxApps} apps are known already, those that are away included; delete one to make room`,
      );
      return;
    }
    this.apps.set(record.app, { record, signature });
    this.options.events.subscriptionsChanged(record.app, record, keep);
  }
}

function sameSubscriptions(a: Instance, b: Instance): boolean {
  return JSON.stringify(a.subscriptions) === JSON.stringify(b.subscriptions);
}

/** What a subscription asks beside its filter; undefined when nothing. */
export function subscriptionTest(subscription: app.Subscription): ((head: Head) => boolean) | undefined {
  const { deviceIds, kinds, protocols, ports } = subscription;
  if (deviceIds.length + kinds.length + protocols.length + ports.length === 0) return undefined;
  const devices = new Set(deviceIds);
  const kindSet = new Set<number>(kinds);
  const protocolSet = new Set<number>(protocols);
  const portSet = new Set(ports);
  return (head) =>
    (devices.size === 0 || devices.has(head.deviceId)) &&
    (kindSet.size === 0 || kindSet.has(head.kind)) &&
    (protocolSet.size === 0 || protocolSet.has(head.protocol)) &&
    (portSet.size === 0 || portSet.has(head.port));
}
