/** Runs one plugin instance under its start policy, with its four metrics and its log lines. */
import { type BackoffOptions, type Component, type StartErrorPolicy, Supervised } from "@myelin/kernel";
import type { ServiceContext } from "./service.js";

/** `create` is called for every try and does no I/O. */
export interface PluginOptions {
  readonly kind: string;
  readonly instance: string;
  readonly create: () => Component;
  readonly onStartError?: StartErrorPolicy;
  readonly backoff?: BackoffOptions;
}

type PluginContext = Pick<ServiceContext<unknown>, "log" | "clock" | "metrics" | "pluginMeter">;

/** The component to put into the service's list; its name is `kind/instance`. */
export function supervisePlugin(context: PluginContext, options: PluginOptions): Supervised {
  const { kind, instance, create, onStartError = "retry", backoff } = options;
  const meter = context.pluginMeter(kind, instance);
  const log = context.log.child({ kind, instance });
  // The first failure and the recovery are two lines; the tries between are counted.
  const started = (): void => {
    meter.up.set(1);
    meter.starts.inc();
  };
  return new Supervised({
    name: `${kind}/${instance}`,
    onStartError,
    clock: context.clock,
    ...(backoff && { backoff }),
    create: () => watched(create(), started, () => meter.up.set(0)),
    onStartFailed: (error, attempt) => {
      meter.countError(error.code);
      if (attempt === 1) log.warn({ err: error, onStartError }, "plugin cannot start");
    },
    onRecovered: (attempts) => log.info({ attempts }, "plugin started after all"),
  });
}

function watched(inner: Component, started: () => void, stopped: () => void): Component {
  return {
    name: inner.name,
    ...(inner.stopTimeoutMs !== undefined && { stopTimeoutMs: inner.stopTimeoutMs }),
    async start(signal) {
      await inner.start(signal);
      started();
    },
    async stop() {
      stopped();
      await inner.stop();
    },
    ...(inner.condition && { condition: () => inner.condition?.() ?? { state: "running" } }),
    ...(inner.children && { children: () => inner.children?.() ?? [] }),
  };
}
