/** Runs services in this process until it is asked to stop, and says with which code it ends. */
import type { Bus, BusOptions } from "@myelin/bus";
import {
  type Environment,
  formatConfig,
  type LoadedConfig,
  loadConfig,
  type Override,
  object,
  type Schema,
  type Snapshot,
} from "@myelin/config";
import { AppError, type Clock, systemClock, withDeadline } from "@myelin/kernel";
import { createLogger, type RootLogger } from "@myelin/observability";
import { parseArguments, USAGE } from "./arguments.js";
import { platformSections } from "./platform-config.js";
import { createProcess, type ProcessComponents, type ProcessConfig } from "./process-components.js";
import type { AnyService } from "./service.js";

/** 0 asked to stop · 1 unexpected · 78 bad configuration (EX_CONFIG of sysexits). */
export type ExitCode = 0 | 1 | 78;

/** `name` is the default of `process.instance`. What is left out comes from the real process. */
export interface RunOptions {
  readonly name: string;
  readonly version: string;
  readonly services: readonly AnyService[];
  /** Sections of services that other processes run. */
  readonly foreignSections?: readonly string[];
  readonly argv?: readonly string[];
  readonly environment?: Environment;
  readonly overrides?: readonly Override[];
  readonly openBus?: (options: BusOptions) => Bus;
  readonly clock?: Clock;
  readonly io?: ProcessIo;
  /** Called when everything runs, with the admin port in use; a supervisor is told from here. */
  readonly onReady?: (adminPort: number) => void;
  /** Called with each state of the resources when it is in force, in processes that follow them. */
  readonly onResources?: (snapshot: Snapshot) => void;
}

/** The edges of the process, so that a test can stand there. */
export interface ProcessIo {
  print(text: string): void;
  printError(text: string): void;
  /** Replaces stdout for log lines. */
  readonly writeLog?: (line: string) => void;
  /** Aborts when the process is asked to stop; a second time kills. */
  readonly stop: AbortSignal;
  /** Called with what nobody caught. */
  onUncaught(callback: (error: unknown) => void): void;
}

/** Never rejects. Ends nothing by itself: `runAndExit` does. */
export async function runProcess(options: RunOptions): Promise<ExitCode> {
  const io = options.io ?? realIo();
  try {
    const { mode, config: file } = parseArguments(options.argv ?? process.argv.slice(2));
    if (mode === "help") {
      io.print(`Usage: ${options.name} [options]\n\n${USAGE}`);
      return 0;
    }
    const schema = processSchema(options.services);
    const config = (await loadConfig({
      schema,
      file,
      ...(options.environment && { environment: options.environment }),
      overrides: options.overrides ?? [],
      foreignSections: options.foreignSections ?? [],
    })) as LoadedConfig<ProcessConfig>;
    if (mode === "run") return await runWith(options, config, io);
    io.print(mode === "print" ? formatConfig(schema, config) : "the configuration is good\n");
    return 0;
  } catch (thrown) {
    const error = AppError.from(thrown);
    io.printError(`${options.name}: ${error.message}\n`);
    return isConfigError(error) ? 78 : 1;
  }
}

/** The schema of a process: the platform's sections and one for each service. */
export function processSchema(services: readonly AnyService[]): Schema {
  const own = services.map((service) => [service.section, service.schema] as const);
  return object({ ...platformSections, ...Object.fromEntries(own) });
}

async function runWith(
  options: RunOptions,
  config: LoadedConfig<ProcessConfig>,
  io: ProcessIo,
): Promise<ExitCode> {
  const { services, version, openBus, clock = systemClock } = options;
  const instance = config.value.process.instance ?? options.name;
  const log = createLogger({
    service: options.name,
    instance,
    level: config.value.log.level,
    ...(io.writeLog && { write: io.writeLog }),
  });
  const uncaught = Promise.withResolvers<ExitCode>();
  io.onUncaught((error) => {
    log.fatal({ err: error }, "uncaught error, the process ends");
    uncaught.resolve(1);
  });
  log.info({ version, services: services.map((s) => s.name) }, "starting");
  try {
    const own = new AbortController();
    const requestStop = (reason: string): void => {
      if (own.signal.aborted) return;
      log.warn({ reason }, "the process ends by itself, to be started anew");
      own.abort(new AppError("operation.aborted", reason));
    };
    const parts = await createProcess({
      services,
      instance,
      version,
      config,
      log,
      clock,
      openBus,
      requestStop,
      onResources: options.onResources,
    });
    const stop = AbortSignal.any([io.stop, own.signal]);
    return await Promise.race([live(parts, options, config, log, stop, clock), uncaught.promise]);
  } catch (thrown) {
    const error = AppError.from(thrown);
    log.fatal({ err: error }, "cannot start");
    return isConfigError(error) ? 78 : 1;
  } finally {
    log.flush();
  }
}

async function live(
  parts: ProcessComponents,
  options: RunOptions,
  config: LoadedConfig<ProcessConfig>,
  log: RootLogger,
  stop: AbortSignal,
  clock: Clock,
): Promise<ExitCode> {
  const { root, health, admin } = parts;
  try {
    await root.start(stop);
  } catch (error) {
    if (stop.aborted) {
      log.info("asked to stop before the start was done");
      return 0;
    }
    throw error;
  }
  health.markStarted();
  log.info({ adminPort: admin.port }, "ready");
  options.onReady?.(admin.port as number);
  await aborted(stop);

  const { drainDelay, stopTimeout } = config.value.process;
  log.info("asked to stop");
  // Unready first: a balancer that still sends while the inputs close gets connection errors.
  health.markStopping();
  if (drainDelay > 0) await clock.sleep(drainDelay);
  try {
    await withDeadline(undefined, stopTimeout, () => root.stop(), {
      clock,
      code: "lifecycle.stop_timeout",
      what: "the stop",
    });
  } catch (error) {
    log.error({ err: error }, "stopped, but not cleanly");
    return 1;
  }
  log.info("stopped");
  return 0;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function isConfigError(error: AppError): boolean {
  return error.code.startsWith("config.");
}

function realIo(): ProcessIo {
  const stop = new AbortController();
  const onSignal = (): void => {
    // Whoever asks twice does not want to wait.
    if (stop.signal.aborted) process.exit(1);
    stop.abort(new AppError("operation.aborted", "the process was asked to stop"));
  };
  // SIGHUP: the terminal of a service that was started by hand is gone.
  for (const signal of ["SIGTERM", "SIGINT", "SIGHUP"]) process.on(signal, onSignal);
  return {
    print: (text) => void process.stdout.write(text),
    printError: (text) => void process.stderr.write(text),
    stop: stop.signal,
    onUncaught(callback) {
      process.on("uncaughtException", callback);
      process.on("unhandledRejection", callback);
    },
  };
}

/** For a service's `main.ts`: runs, then ends the process with the code, whatever handles are still open. */
export async function runAndExit(options: RunOptions): Promise<never> {
  process.exit(await runProcess(options));
}
