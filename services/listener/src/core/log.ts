/** What the core needs of a logger; the one of packages/observability is assignable. */

type Write = (fields: object, sentence: string) => void;

/** Structured: a constant sentence plus fields. */
export interface Log {
  readonly debug: Write;
  readonly info: Write;
  readonly warn: Write;
  readonly error: Write;
}
