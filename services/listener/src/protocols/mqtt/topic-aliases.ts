/** Aliases for topics in what one MQTT 5 client is sent. */
import { NO_ALIAS, type TopicAlias } from "./codec/publish-writer.js";

/**
 * The first topics get the aliases and keep them: a client that takes messages of more topics than it allows aliases for is told the
 * rest in full, which is cheaper for both than to tell an alias anew with every message.
 */
export class TopicAliases {
  private readonly known = new Map<string, TopicAlias>();
  private fresh: TopicAlias = { alias: 1, known: false };

  /** @param maximum the highest alias, above 0 */
  constructor(private readonly maximum: number) {}

  /** How to name the topic in the next message; one that is not `known` must be told together with its alias. */
  of(topic: string): TopicAlias {
    return this.known.get(topic) ?? (this.fresh.alias <= this.maximum ? this.fresh : NO_ALIAS);
  }

  /** The topic went out with the alias that `of` has just given. */
  told(topic: string): void {
    const { alias } = this.fresh;
    this.known.set(topic, { alias, known: true });
    this.fresh = { alias: alias + 1, known: false };
  }
}
