/** Publishing for others than Myelin: subjects of an operator's choice, with headers. */
import type { Bus } from "../api.js";
import { natsBusOf } from "./nats-bus.js";

/** Core NATS outside of Myelin's own subjects. */
export interface ExternalSubjects {
  /** False when it was not sent. Names and values of headers must be fit for a header line: printable ASCII. */
  publish(subject: string, data: Uint8Array, headers: Readonly<Record<string, string>>): boolean;
  /** Resolves when everything published so far has reached the server. @throws AppError `bus.disconnected`, `bus.timeout` */
  flush(): Promise<void>;
}

/** The bus's connection, for messages to the outside. */
export function externalSubjects(bus: Bus): ExternalSubjects {
  const nats = natsBusOf(bus);
  return {
    publish: (subject, data, fields) => nats.publishWithHeaders(subject, data, fields),
    flush: () => bus.flush(),
  };
}
