/** JSON lines on stdout; the only importer of pino. */
import { type DestinationStream, destination, type Logger as PinoLogger, pino, stdTimeFunctions } from "pino";
import type { LogFields, Logger, LogLevel, LogMethod, RootLogger } from "./logger.js";
import { serializeError } from "./serialize-error.js";

/** `write` replaces stdout and gets one line at a time, its line break included. */
export interface LoggerOptions {
  readonly service: string;
  readonly instance: string;
  readonly level?: LogLevel;
  readonly write?: (line: string) => void;
}

// The second net; the first is not to log such things. One level deep: pino's wildcards cost per line.
const SECRET_KEYS = [
  "password",
  "passwd",
  "secret",
  "token",
  "resumeToken",
  "authorization",
  "cookie",
  "apiKey",
  "privateKey",
];
const REDACTED_PATHS = SECRET_KEYS.flatMap((key) => [key, `*.${key}`]);

const LEVELS = ["trace", "debug", "info", "warn", "error", "fatal"] as const;

class PinoRootLogger implements RootLogger {
  declare readonly trace: LogMethod;
  declare readonly debug: LogMethod;
  declare readonly info: LogMethod;
  declare readonly warn: LogMethod;
  declare readonly error: LogMethod;
  declare readonly fatal: LogMethod;
  readonly #pino: PinoLogger;
  readonly #flush: () => void;
  // Weak, so that a component's logger goes with the component; pino itself does not pass levels on.
  readonly #family: Set<WeakRef<PinoLogger>>;
  readonly #root: PinoLogger;
  /** What every line of this logger carries. */
  readonly #fields: LogFields;

  constructor(
    root: PinoLogger,
    fields: LogFields,
    flush: () => void,
    family: Set<WeakRef<PinoLogger>>,
    level = root.level,
  ) {
    // pino appends a child's fields to its parent's, so a field given again would stand twice in each line.
    const logger = root.child(fields, { level });
    this.#root = root;
    this.#fields = fields;
    this.#pino = logger;
    this.#flush = flush;
    this.#family = family;
    family.add(new WeakRef(logger));
    for (const level of LEVELS) {
      const method = ((a: LogFields | string, b?: string) => {
        if (typeof a === "string") logger[level](a);
        else logger[level](a, b);
      }) as LogMethod;
      Object.defineProperty(this, level, { value: method });
    }
  }

  isLevelEnabled(level: LogLevel): boolean {
    return this.#pino.isLevelEnabled(level);
  }

  child(fields: LogFields): Logger {
    for (const ref of this.#family) if (ref.deref() === undefined) this.#family.delete(ref);
    const all = { ...this.#fields, ...fields };
    return new PinoRootLogger(this.#root, all, this.#flush, this.#family, this.#pino.level);
  }

  setLevel(level: LogLevel): void {
    for (const ref of this.#family) {
      const logger = ref.deref();
      if (logger !== undefined) logger.level = level;
    }
  }

  flush(): void {
    this.#flush();
  }
}

/**
 * The one logger of a process. Lines are written synchronously: nothing is lost at exit, and a worker transport
 * would cost a thread. Times are ISO 8601, levels are words, errors under `err` become plain data.
 */
export function createLogger(options: LoggerOptions): RootLogger {
  const { service, instance, level = "info", write } = options;
  const stdout = write === undefined ? destination({ fd: 1, sync: true }) : undefined;
  const stream: DestinationStream = stdout ?? { write: (line) => write?.(line) };
  const logger = pino(
    {
      level,
      base: null,
      messageKey: "msg",
      timestamp: stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: serializeError },
      redact: { paths: REDACTED_PATHS, censor: "[redacted]" },
    },
    stream,
  );
  return new PinoRootLogger(logger, { service, instance }, () => stdout?.flushSync(), new Set());
}
