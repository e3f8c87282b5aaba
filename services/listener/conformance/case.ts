/** A case: what it covers, what it does, and whether this server is known to fail it. */
import type { Id3 } from "./mqtt-3.table.js";
import type { Id5 } from "./mqtt-5.table.js";
import type { Level } from "./packet-client.js";
import type { Trial } from "./trial.js";

/** The statements a case covers. It is run for each version that is named here. */
export interface Covers {
  readonly v3?: readonly Id3[];
  readonly v5?: readonly Id5[];
}

export interface Case {
  readonly covers: Covers;
  /** A sentence without its subject, which is the server. */
  readonly title: string;
  /** Set while the server does not do it: what is missing. The case must then fail, so that this word is taken back in time. */
  readonly notYet: string | undefined;
  readonly body: (trial: Trial) => Promise<void>;
}

/** A case the server passes. */
export function conforms(covers: Covers, title: string, body: Case["body"]): Case {
  return { covers, title, notYet: undefined, body };
}

/** A case the server does not pass yet, because of what is missing. */
export function notYet(missing: string, covers: Covers, title: string, body: Case["body"]): Case {
  return { covers, title, notYet: missing, body };
}

/** The versions it is run for. */
export function levelsOf({ covers }: Case): Level[] {
  return [...(covers.v3 === undefined ? [] : [4 as const]), ...(covers.v5 === undefined ? [] : [5 as const])];
}

/** The statements of a version that it covers. */
export function idsOf({ covers }: Case, level: Level): readonly string[] {
  return (level === 4 ? covers.v3 : covers.v5) ?? [];
}
