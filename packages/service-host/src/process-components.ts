/** Builds the components of a process in start order: admin port, telemetry, bus, services. */
import { type Bus, type BusOptions, createBus } from "@myelin/bus";
import type { LoadedConfig } from "@myelin/config";
import { AppError, type Clock, type Component, ComponentHost, type ComponentStatus } from "@myelin/kernel";
import {
  AdminServer,
  bounded,
  createPluginMeters,
  createProcessMetrics,
  defineMetrics,
  Health,
  type Logger,
  MetricsRegistry,
  Tracing,
} from "@myelin/observability";
import type { PlatformConfig } from "./platform-config.js";
import type { AnyService, ServiceContext } from "./service.js";

/** Sections of the platform and of the services, by key. */
export type ProcessConfig = PlatformConfig & Readonly<Record<string, unknown>>;

/** `openBus` is `createBus` unless a test gives another. */
export interface ProcessOptions {
  readonly services: readonly AnyService[];
  readonly instance: string;
  readonly version: string;
  readonly config: LoadedConfig<ProcessConfig>;
  readonly log: Logger;
  readonly clock: Clock;
  readonly openBus: ((options: BusOptions) => Bus) | undefined;
  /** See `ServiceContext`. */
  readonly requestStop: (reason: string) => void;
  /** See `ServiceContext`. */
  readonly onResources: ServiceContext<unknown>["onResources"];
}

/** The process as one component, and what its host steers. */
export interface ProcessComponents {
  readonly root: ComponentHost;
  readonly health: Health;
  readonly admin: AdminServer;
}

// For components that state none of their own; the setting process.stopTimeout bounds them all together.
const COMPONENT_STOP_MS = 5_000;
const COMPONENT_START_MS = 60_000;

/** The list of the host's own metrics. */
export const hostMetricsList = defineMetrics({
  state: {
    type: "gauge",
    name: "myelin_component_up",
    help: "1 while the component runs, 0.5 while it is degraded, else 0.",
    labels: { component: bounded(512) },
  },
});

/** Does no I/O; everything begins in `root.start`. */
export async function createProcess(options: ProcessOptions): Promise<ProcessComponents> {
  const { services, instance, version, config, log, clock } = options;
  const platform = config.value;
  const metrics = new MetricsRegistry();
  const pages: Record<string, () => unknown> = {};
  const health = new Health(() => root.children());
  const admin = new AdminServer({
    ...platform.admin,
    health,
    metrics,
    pages,
    log: log.child({ component: "admin" }),
  });
  const { otlpEndpoint, ratio, maxPerSecond } = platform.tracing;
  const tracing = new Tracing({
    service: services.map((s) => s.name).join("+"),
    instance,
    version,
    ratio,
    maxPerSecond,
    log: log.child({ component: "tracing" }),
    clock,
    ...(otlpEndpoint !== undefined && { otlpEndpoint }),
  });
  const bus = (options.openBus ?? createBus)({
    servers: platform.nats.servers,
    instance,
    service: services.map((s) => s.name).join("+"),
    logger: log.child({ component: "bus" }),
    clock,
    ...credentialsOf(platform),
  });
  const pluginMeter = createPluginMeters(metrics);
  const shared = { platform, instance, version, clock, metrics, pluginMeter, tracing, bus };
  const addPage = (path: string, page: () => unknown): void => {
    if (Object.hasOwn(pages, path))
      throw new AppError("internal.invalid_argument", `${path} is taken already`);
    pages[path] = page;
  };

  const hosts: Component[] = [];
  for (const service of services) {
    const context: ServiceContext<unknown> = {
      ...shared,
      config: platform[service.section],
      log: log.child({ component: service.name }),
      addPage,
      requestStop: options.requestStop,
      onResources: options.onResources,
    };
    const components = await service.create(context as ServiceContext<never>);
    hosts.push(
      new ComponentHost(components, {
        name: service.name,
        startTimeoutMs: COMPONENT_START_MS,
        stopTimeoutMs: COMPONENT_STOP_MS,
        clock,
        onStateChange: (status, error) =>
          logState(log, { ...status, name: `${service.name}/${status.name}` }, error),
      }),
    );
  }
  const root = new ComponentHost([admin, createProcessMetrics(metrics), tracing, bus, ...hosts], {
    name: "process",
    // The bus waits for NATS as long as it takes: a missing broker is no reason to end. The others have their limits.
    startTimeoutMs: Number.POSITIVE_INFINITY,
    stopTimeoutMs: COMPONENT_STOP_MS,
    clock,
    onStateChange: (status, error) => logState(log, status, error),
  });
  const { state } = metrics.register(hostMetricsList);
  state.onCollect(() => {
    for (const child of root.children()) state.with({ component: child.name }).set(gaugeOf(child));
  });
  return { root, health, admin };
}

function gaugeOf(status: ComponentStatus): number {
  if (status.state === "running") return 1;
  return status.state === "degraded" ? 0.5 : 0;
}

// Failures are logged once, by whoever ends the process because of them; here only the story of states.
function logState(log: Logger, status: ComponentStatus, error: AppError | undefined): void {
  const fields = { component: status.name, state: status.state };
  if (error === undefined) log.debug(fields, "component changed its state");
  else log.error({ ...fields, err: error }, "component failed");
}

function credentialsOf(platform: PlatformConfig): Pick<BusOptions, "credentials"> {
  const { user, password, token } = platform.nats;
  if (token !== undefined) return { credentials: { token: token.reveal() } };
  if (user === undefined) return {};
  if (password === undefined)
    throw new AppError("config.invalid", "nats.user is given without nats.password");
  return { credentials: { user, password: password.reveal() } };
}
