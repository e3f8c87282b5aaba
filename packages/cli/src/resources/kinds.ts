/** How kinds and resources are named on the command line. */
import { API_GROUP, type Kind, kinds, pluralOf, singularOf } from "@myelin/config";
import { AppError } from "@myelin/kernel";

/** A kind, and the names that are meant; none: all of them. */
export interface Selection {
  readonly kind: Kind;
  readonly names: readonly string[];
}

const ALL: readonly Kind[] = Object.keys(kinds) as Kind[];

/** `route.myelin.dev/boiler-room` */
export function reference(kind: string, name: string): string {
  return `${singularOf(kind)}.${API_GROUP}/${name}`;
}

/** @throws AppError `config.unknown_kind` */
export function kindOf(word: string): Kind {
  const wanted = word.toLowerCase().replace(`.${API_GROUP}`, "");
  const found = ALL.find((kind) => wanted === singularOf(kind) || wanted === pluralOf(kind));
  if (found !== undefined) return found;
  throw new AppError("config.unknown_kind", `there is no kind ${word}; known are ${ALL.join(", ")}`);
}

/**
 * Reads `routes`, `route boiler-room`, `route/boiler-room`, `routes,bridges` and `all`.
 * @throws AppError `config.unknown_kind`; `config.invalid` for a mix that cannot be meant
 */
export function selectionsOf(words: readonly string[]): readonly Selection[] {
  const [first = "", ...names] = words;
  if (first.includes("/")) return words.map(selectionOfPair);
  const chosen = first.toLowerCase() === "all" ? ALL : first.split(",").map(kindOf);
  if (chosen.length > 1 && names.length > 0) {
    throw new AppError("config.invalid", "names can be given for one kind only; write KIND/NAME for several");
  }
  const slashed = names.find((name) => name.includes("/"));
  if (slashed !== undefined) {
    throw new AppError(
      "config.invalid",
      `${slashed} is no name; write KIND/NAME for all of them or for none`,
    );
  }
  return [...new Set(chosen)].map((kind) => ({ kind, names }));
}

function selectionOfPair(pair: string): Selection {
  const at = pair.indexOf("/");
  const [kind, name] = [pair.slice(0, at), pair.slice(at + 1)];
  if (at === -1 || name === "" || name.includes("/")) {
    throw new AppError("config.invalid", `${pair} is no KIND/NAME`);
  }
  return { kind: kindOf(kind), names: [name] };
}
