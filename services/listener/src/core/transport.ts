/** Settings of what carries a stream protocol, the same for all of them. */
import { array, type Infer, object, oneOf, optional, string } from "@myelin/config";
import { PROXY_MODES } from "./proxy-protocol.js";
import { tlsSchema } from "./tls.js";

/** To be spread into the schema of a port that uses `TcpPort`. */
export const transportFields = {
  tls: optional(tlsSchema),
  proxyProtocol: oneOf(PROXY_MODES, {
    default: "off",
    description:
      "Whether trusted proxies say for whom they speak, by which version of the PROXY protocol. Such a proxy must always say it; others connect directly, and may not.",
  }),
  trustedProxies: array(
    string({
      description: "An address, or a network such as 10.0.0.0/8 or fd00::/8.",
      pattern: "^[0-9A-Fa-f:.]+(/[0-9]{1,3})?$",
      rule: "an IP address, or a network such as 10.0.0.0/8",
    }),
    {
      default: [],
      maxItems: 256,
      description: "Proxies that are believed; counts with proxyProtocol only.",
    },
  ),
} as const;

/** To be spread into the schema of a port that may listen on a Unix socket. */
export const unixFields = {
  path: string({
    default: "",
    maxLength: 90,
    description:
      "Unix socket to listen on instead of host and port. Who may open it is on this machine, and is let in like loopback. Of the workers of a box one holds it, another one takes over when that is gone. Empty: none.",
  }),
  mode: string({
    default: "0660",
    pattern: "^0?[0-7]{3}$",
    rule: "an octal file mode such as 0660",
    description: "Mode of the Unix socket: who may write to it may connect.",
  }),
} as const;

const transportSchema = object(transportFields);
const unixSchema = object(unixFields);

/** What `TcpPort` needs of a port's settings; what a protocol does not offer is left out. */
export type TransportSettings = { readonly host: string; readonly port: number } & Partial<
  Infer<typeof transportSchema>
> &
  Partial<Infer<typeof unixSchema>>;
