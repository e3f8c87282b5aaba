/** A secret that does not show itself by accident. */
import { inspect } from "node:util";

/** Where a secret is. */
export type SecretReference =
  | { readonly fromFile: string; readonly fromEnv?: never }
  | { readonly fromEnv: string; readonly fromFile?: never };

const SHOWN = "[redacted]";

/** Prints as "[redacted]" in logs, JSON and the debugger's console; `reveal` is the one way to its text. */
export class Secret {
  readonly #text: string;
  /** Where it came from; never the text. */
  readonly source: string;
  /** Path of the file it came from, for those who follow it while it changes; undefined for anything else. */
  readonly file: string | undefined;

  constructor(text: string, source: string, file?: string) {
    this.#text = text;
    this.source = source;
    this.file = file;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return SHOWN;
  }

  toJSON(): string {
    return SHOWN;
  }

  [inspect.custom](): string {
    return SHOWN;
  }
}
