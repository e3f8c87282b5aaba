/** Which topic here is which topic at the broker, by the lines of a bridge. Pure but for a bounded memory. */
import type { BridgeTopic } from "@myelin/config";
import { topicMatches } from "@myelin/contract";
import type { SubscriptionOptions } from "../../core/operations-facts.js";
import type { KeptFilter } from "../../core/session-home.js";

/** Where a message from the broker goes. */
export interface Inward {
  /** UTF-8. */
  readonly path: Buffer;
  readonly keepsRetain: boolean;
}

/** Where a message of ours goes. */
export interface Outward {
  readonly topic: string;
  readonly keepsRetain: boolean;
}

const NO_LOCAL = 4;
const BELOW_LINE = 16;
const REMEMBERED = 10_000;

/** Tags hold QoS, no-local, and the number of the line. */
const tagOf = (line: number, qos: number): number => qos + NO_LOCAL + line * BELOW_LINE;

export function optionsOfTag(tag: number): SubscriptionOptions {
  return { qos: tag & 3, noLocal: true, retainAsPublished: true, subscriptionId: 0 };
}

export class TopicMaps {
  /** What the broker is asked for. */
  readonly remote: readonly { readonly filter: string; readonly qos: 0 | 1 | 2 }[];
  /** What is subscribed to here. */
  readonly local: readonly KeptFilter[];
  private readonly inLines: readonly BridgeTopic[];
  private readonly known = new Map<string, Inward | undefined>();

  constructor(private readonly lines: readonly BridgeTopic[]) {
    this.inLines = lines.filter(({ direction }) => direction !== "out");
    this.remote = this.inLines.map(({ remotePrefix, filter, qos }) => ({
      filter: remotePrefix + filter,
      qos: qos as 0 | 1 | 2,
    }));
    this.local = lines.flatMap(({ direction, localPrefix, filter, qos }, i) =>
      direction === "in" ? [] : [{ filter: localPrefix + filter, tag: tagOf(i, qos) }],
    );
  }

  /** Undefined: no line is about it. */
  inward(topic: string): Inward | undefined {
    const known = this.known.get(topic);
    if (known !== undefined || this.known.has(topic)) return known;
    const found = this.findInward(topic);
    if (this.known.size >= REMEMBERED) this.known.delete(this.known.keys().next().value!);
    this.known.set(topic, found);
    return found;
  }

  /** @param tags of the filters that have matched, at least one */
  outward(path: string, tags: readonly number[]): Outward {
    const { localPrefix, remotePrefix, retain } = this.lines[Math.min(...tags.map(lineOf))]!;
    return { topic: remotePrefix + path.slice(localPrefix.length), keepsRetain: retain === "keep" };
  }

  private findInward(topic: string): Inward | undefined {
    const line = this.inLines.find(({ remotePrefix, filter }) => topicMatches(remotePrefix + filter, topic));
    if (line === undefined) return undefined;
    const { localPrefix, remotePrefix, retain } = line;
    const path = Buffer.from(localPrefix + topic.slice(remotePrefix.length));
    return { path, keepsRetain: retain === "keep" };
  }
}

const lineOf = (tag: number): number => Math.floor(tag / BELOW_LINE);
