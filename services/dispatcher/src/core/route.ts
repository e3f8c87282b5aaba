/** What a route says, as the router sees it; the resource's schema is in packages/config. */
import type { Head } from "@myelin/contract";
import { globToRegExp, topicMatches } from "@myelin/contract";
import { KIND_WORDS, type KindWord, PROTOCOL_WORDS, type ProtocolWord } from "./words.js";

/** Conditions of a route: all that are given must hold, each list means any of its entries. */
export interface RouteMatch {
  readonly ports?: readonly string[] | undefined;
  readonly protocols?: readonly ProtocolWord[] | undefined;
  readonly topics?: readonly string[] | undefined;
  readonly paths?: readonly string[] | undefined;
  readonly types?: readonly string[] | undefined;
  readonly devices?: readonly string[] | undefined;
  readonly profiles?: readonly string[] | undefined;
  readonly kinds?: readonly KindWord[] | undefined;
  readonly contentTypes?: readonly string[] | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** What happens to a message that a codec cannot read. */
export type OnError = "drop" | "pass" | "unrouted";

/** One step of a transformation. Fields are those of the codec plugins; `codec` decodes and `to` encodes again. */
export interface TransformStep {
  readonly codec: string;
  readonly to?: string | undefined;
  readonly select?: readonly string[] | undefined;
  readonly rename?: Readonly<Record<string, string>> | undefined;
  readonly onError?: OnError | undefined;
  /** For codec `protobuf`: where the message type is described. */
  readonly protobuf?: { readonly file: string; readonly message: string } | undefined;
  /** For codec `profile`: which one. */
  readonly profile?: string | undefined;
}

/** A target as written: one key, its kind, and what that kind needs. */
export type TargetSpec = Readonly<Record<string, unknown>>;

/** One route. Lower `order` goes first, ties by name. */
export interface RouteSpec {
  readonly name: string;
  readonly order: number;
  readonly match: RouteMatch;
  readonly transform?: readonly TransformStep[] | undefined;
  readonly targets: readonly TargetSpec[];
  readonly stop?: boolean | undefined;
}

/** Order in which routes are asked. */
export function compareRoutes(a: RouteSpec, b: RouteSpec): number {
  return a.order - b.order || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0);
}

type Test = (head: Head) => boolean;

/**
 * Compiles the conditions that the head alone decides; header conditions are left to the plan.
 * Called once per route and reload; the result is called once per channel.
 */
export function compileMatch(match: RouteMatch): Test {
  const tests: Test[] = [];
  if (match.protocols !== undefined) {
    const set = new Set<number>(match.protocols.map((word) => PROTOCOL_WORDS[word]));
    tests.push((head) => set.has(head.protocol));
  }
  if (match.kinds !== undefined) {
    const set = new Set<number>(match.kinds.map((word) => KIND_WORDS[word]));
    tests.push((head) => set.has(head.kind));
  }
  addSet(tests, match.ports, (head) => head.port);
  addSet(tests, match.profiles, (head) => head.profile);
  addSet(tests, match.contentTypes, (head) => head.contentType);
  addSet(tests, match.paths, (head) => head.path);
  addSet(tests, match.types, (head) => head.path);
  const { devices, topics } = match;
  if (devices !== undefined) {
    const patterns = devices.map(globToRegExp);
    tests.push((head) => patterns.some((pattern) => pattern.test(head.deviceId)));
  }
  if (topics !== undefined) {
    tests.push((head) => topics.some((filter) => topicMatches(filter, head.path)));
  }
  return (head) => tests.every((test) => test(head));
}

function addSet(tests: Test[], words: readonly string[] | undefined, read: (head: Head) => string): void {
  if (words === undefined) return;
  const set = new Set(words);
  tests.push((head) => set.has(read(head)));
}
