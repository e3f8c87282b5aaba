/** What a shell offers where a kind, a name or a field is to be typed. */
import { documentSchema, type Kind, kinds, pluralOf, singularOf } from "@myelin/config";
import { boxLayout, DEFAULT_DATA_DIR } from "../box/layout.js";
import { fieldAt, fieldsOf } from "./fields.js";
import { ResourceFolder } from "./folder.js";
import { kindOf } from "./kinds.js";

interface Offer {
  readonly value: string;
  readonly description: string;
}

/** By the name of the argument that is completed. */
export interface Offers {
  readonly first: readonly Offer[];
  readonly names: readonly Offer[];
}

const NOTHING: Offers = { first: [], names: [] };
const ALL = Object.keys(kinds) as Kind[];

/** @param words what has been typed behind `myelin`, the word that is being typed included. Never throws. */
export async function offersFor(words: readonly string[]): Promise<Offers> {
  const [verb, first = ""] = words.filter((word, i) => !word.startsWith("-") && !isValue(words, i));
  if (verb === "explain") return { first: fieldsAfter(first), names: [] };
  try {
    const at = words.indexOf("--data-dir");
    const dataDir = (at >= 0 ? words[at + 1] : undefined) ?? DEFAULT_DATA_DIR;
    const { documents } = await ResourceFolder.load(boxLayout(dataDir).resources);
    const named = documents.filter(({ kind, name }) => kind !== "" && name !== "");
    const pairs = named.map((d) => ({ value: `${singularOf(d.kind)}/${d.name}`, description: d.file }));
    return {
      first: [...ALL.map((kind) => ({ value: pluralOf(kind), description: kind })), ...pairs],
      names: named.filter((d) => isOf(d.kind, first)).map((d) => ({ value: d.name, description: d.file })),
    };
  } catch {
    // A folder that cannot be read has nothing to offer, and a shell shows no reasons.
    return NOTHING;
  }
}

/** The values of the options that may stand before a kind. */
function isValue(words: readonly string[], i: number): boolean {
  return ["--data-dir", "--nats", "-o", "--output", "-f", "--filename"].includes(words[i - 1] ?? "");
}

function isOf(kind: string, word: string): boolean {
  try {
    return kindOf(word) === kind;
  } catch {
    return false;
  }
}

function fieldsAfter(path: string): readonly Offer[] {
  const steps = path.split(".").slice(0, -1);
  const [word, ...fields] = steps;
  if (word === undefined) return ALL.map((kind) => ({ value: singularOf(kind), description: kind }));
  try {
    const kind = kindOf(word);
    const { schema } = fieldAt({ kind, schema: documentSchema(kinds[kind]) }, fields);
    return fieldsOf(schema).map(({ name, schema: { description = "" } }) => ({
      value: [...steps, name].join("."),
      description,
    }));
  } catch {
    return [];
  }
}
