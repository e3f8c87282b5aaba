import { readFileSync } from "node:fs";
import { BUCKETS, STREAMS, type StreamSpec, subjects } from "@myelin/contract";
import { code, page, table } from "./page.js";

interface Bucket {
  readonly name: string;
  readonly history: number;
  readonly ttlMs: number;
}

const MIB = 1024 * 1024;
/** A docstring of one line and the function behind it, in the one file where subjects are written. */
const SUBJECT = /\/\*\* (.+) \*\/\nexport const (\w+) = \([^)]*\): string =>\s*(?:`([^`]*)`|"([^"]*)");/g;

/** Every subject, stream and bucket on NATS. @throws when a subject of the contract is not in the list */
export function subjectsPage(): string {
  const found = new Map<string, readonly [string, string]>();
  for (const [, meaning = "", name = "", template = "", text = ""] of source().matchAll(SUBJECT)) {
    found.set(name, [template === "" ? text : placeholders(template), meaning]);
  }
  const missing = Object.keys(subjects).filter((name) => !found.has(name));
  if (missing.length > 0) throw new Error(`subjects.ts has forms that the page does not know: ${missing}`);
  return page("Subjects and streams", "packages/contract/src/subjects/", [
    "What the services say to each other on NATS. Names that come from users are escaped, so that none of them widens a subject.",
    "The mechanisms behind them: [how a message travels](../architecture.md).",
    "",
    "## Subjects",
    "",
    ...table(
      ["subject", "function", "what goes there"],
      [...found]
        .map(([name, [subject, meaning]]) => [code(subject), code(name), meaning])
        .sort(([a = ""], [b = ""]) => (a < b ? -1 : 1)),
    ),
    "## Streams",
    "",
    "With their default limits. Every stream is kept in files. A full stream that refuses is what makes a sender hear 503, or wait.",
    "",
    ...table(
      [
        "stream",
        "subjects",
        "kept",
        "when full",
        "size",
        "age",
        "messages per subject",
        "doubles removed within",
      ],
      (Object.values(STREAMS) as StreamSpec[]).map((s) => [
        code(s.name),
        s.subjects.map(code).join(", "),
        s.retention === "work" ? "until acknowledged" : "until a limit",
        s.whenFull === "refuse_new" ? "refuses new ones" : "drops the oldest",
        `${s.maxBytes / MIB} MiB`,
        duration(s.maxAgeMs),
        s.maxPerSubject === 0 ? "any number" : String(s.maxPerSubject),
        duration(s.duplicateWindowMs),
      ]),
    ),
    "## Buckets",
    "",
    ...table(
      ["bucket", "keeps an entry for"],
      (Object.values(BUCKETS) as Bucket[]).map((b) => [code(b.name), duration(b.ttlMs)]),
    ),
  ]);
}

function source(): string {
  const file = new URL("../../../contract/src/subjects/subjects.ts", import.meta.url);
  return readFileSync(file, "utf8");
}

function placeholders(template: string): string {
  return template.replace(
    /\$\{\w+\((\w+)\)\}/g,
    (_, name: string) => `<${name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`)}>`,
  );
}

function duration(ms: number): string {
  if (ms === 0) return "ever";
  if (ms % 86_400_000 === 0) return `${ms / 86_400_000} days`;
  return ms % 60_000 === 0 ? `${ms / 60_000} minutes` : `${ms / 1000} s`;
}
