/** What the rest of the code knows of logging; the library behind it is imported in pino-logger.ts alone. */

/** From chatty to last words; see the style guide for who is meant by which. */
export type LogLevel = "trace" | "debug" | "info" | "warn" | "error" | "fatal";

/** Plain fields of one line; an error goes under `err`. Never secrets, payloads or personal data. */
export type LogFields = Readonly<Record<string, unknown>>;

/** One line: a constant sentence, and what varies in fields. */
export interface LogMethod {
  (message: string): void;
  (fields: LogFields, message: string): void;
}

/** A logger bound to service, instance and whatever its parents added. */
export interface Logger {
  readonly trace: LogMethod;
  readonly debug: LogMethod;
  readonly info: LogMethod;
  readonly warn: LogMethod;
  readonly error: LogMethod;
  readonly fatal: LogMethod;
  /** Ask before building costly fields. */
  isLevelEnabled(level: LogLevel): boolean;
  /** A logger whose lines carry these fields too; make one per component, not per message. */
  child(fields: LogFields): Logger;
}

/** The logger of a process: its level can change and it can be made to write out everything before an exit. */
export interface RootLogger extends Logger {
  /** Takes effect on the children too, those made before included. */
  setLevel(level: LogLevel): void;
  /** Returns when every line is written; called by service-host before the process ends. */
  flush(): void;
}

const nothing: LogMethod = () => undefined;

/** Swallows everything: for tests and for code that runs before a logger exists. */
export const silentLogger: RootLogger = {
  trace: nothing,
  debug: nothing,
  info: nothing,
  warn: nothing,
  error: nothing,
  fatal: nothing,
  isLevelEnabled: () => false,
  child: () => silentLogger,
  setLevel: () => undefined,
  flush: () => undefined,
};
