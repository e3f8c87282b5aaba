/** TLS settings of a port: their schema, and what Node wants of them. */
import type { TlsOptions } from "node:tls";
import { type Infer, object, oneOf, optional, secret } from "@myelin/config";

const HANDSHAKE_TIMEOUT_MS = 10_000;

/** A port without this field speaks plain text. */
export const tlsSchema = object(
  {
    cert: secret({ description: "Certificate chain in PEM form." }),
    key: secret({ description: "Private key in PEM form." }),
    clientCa: optional(
      secret({
        description:
          "Authorities in PEM form; when given, only clients with a certificate of theirs connect.",
      }),
    ),
    minVersion: oneOf(["TLSv1.2", "TLSv1.3"], {
      default: "TLSv1.3",
      description: "Oldest TLS version that is spoken.",
    }),
  },
  { description: "TLS; left out, the port speaks plain text." },
);

export type TlsSettings = Infer<typeof tlsSchema>;

/** For `tls.createServer` and `https`. Reveals the secrets, so its result goes nowhere else. */
export function tlsOptions(tls: TlsSettings): TlsOptions {
  return {
    cert: tls.cert.reveal(),
    key: tls.key.reveal(),
    minVersion: tls.minVersion,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
    ...(tls.clientCa === undefined
      ? {}
      : { ca: tls.clientCa.reveal(), requestCert: true, rejectUnauthorized: true }),
  };
}
