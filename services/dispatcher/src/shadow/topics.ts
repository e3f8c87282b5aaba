/** The topics of shadows, in the form of AWS IoT: `$aws/things/<device>/shadow[/name/<shadow>]/<what>`. */

/** What a device asks for. */
export type ShadowVerb = "get" | "update" | "delete";
/** What it is answered, or told. */
export type ShadowNews = "accepted" | "rejected" | "delta" | "documents";

/** A shadow of a device; its name is empty for the classic one. */
export interface ShadowTopic {
  readonly device: string;
  readonly name: string;
  readonly verb: ShadowVerb;
}

const PREFIX = "$aws/things/";
const VERBS: ReadonlySet<string> = new Set<ShadowVerb>(["get", "update", "delete"]);
const NAME = /^[A-Za-z0-9:_-]{1,64}$/;

/** Whether a shadow may be called that. */
export function isShadowName(name: string): boolean {
  return NAME.test(name);
}

/** Cheap: whether a path is anywhere among those of things. */
export function isOfThings(path: string): boolean {
  return path.startsWith(PREFIX);
}

/** The request a topic stands for; undefined: none, as an answer's topic, or one that is malformed. */
export function parseShadowTopic(path: string): ShadowTopic | undefined {
  if (!isOfThings(path)) return undefined;
  const levels = path.slice(PREFIX.length).split("/");
  const [device = "", shadow, ...rest] = levels;
  if (device === "" || shadow !== "shadow") return undefined;
  const [first = "", name = "", verb = ""] = rest;
  if (rest.length === 1 && isVerb(first)) return { device, name: "", verb: first };
  if (rest.length === 3 && first === "name" && isShadowName(name) && isVerb(verb))
    return { device, name, verb };
  return undefined;
}

function isVerb(text: string): text is ShadowVerb {
  return VERBS.has(text);
}

/** The topic a shadow's news come on. */
export function shadowTopic({ device, name, verb }: ShadowTopic, news: ShadowNews): string {
  const shadow = name === "" ? "shadow" : `shadow/name/${name}`;
  return `${PREFIX}${device}/${shadow}/${verb}/${news}`;
}
