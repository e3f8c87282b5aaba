/** Settings of one port that tells protocols apart. */
import { durationMs, type Infer, integer, object, port, string } from "@myelin/config";
import { transportFields } from "../../core/transport.js";

const likeOf = (kind: string) =>
  string({
    default: "",
    description: `Name of a port below listener.protocols.${kind}; empty: the defaults of ${kind}.`,
  });

export const schema = object({
  host: string({ default: "0.0.0.0", description: "Address to listen on." }),
  port: port({ default: 7443, description: "TCP port; 0 takes any free one." }),
  ...transportFields,
  like: object(
    { http: likeOf("http"), mqtt: likeOf("mqtt"), tcp: likeOf("tcp") },
    {
      description:
        "Ports whose settings the connections get that are handed over; TLS and address stay this port's.",
    },
  ),
  firstPacketTimeout: durationMs({
    default: "10s",
    min: "1s",
    max: "2m",
    description: "How long a client may take to show what it speaks, its TLS handshake included.",
  }),
  maxUndecided: integer({
    default: 10_000,
    minimum: 1,
    maximum: 1_000_000,
    description: "Connections that have not shown what they speak; more are closed at once.",
  }),
});

export type AutoConfig = Infer<typeof schema>;
