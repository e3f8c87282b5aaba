/** TLS settings of a port: their schema, and what Node wants of them. */
import { X509Certificate } from "node:crypto";
import { createSecureContext, type TlsOptions } from "node:tls";
import { type Infer, object, oneOf, optional, secret } from "@myelin/config";
import { AppError } from "@myelin/kernel";

/** A port without this field speaks plain text. */
export const tlsSchema = object(
  {
    cert: secret({ description: "Certificate chain in PEM form; a file is followed while it changes." }),
    key: secret({ description: "Private key in PEM form; a file is followed while it changes." }),
    clientCa: optional(
      secret({
        description:
          "Authorities in PEM form that vouch for clients; a file is followed while it changes. Left out, clients are not asked for certificates.",
      }),
    ),
    clientCertificate: oneOf(["required", "optional"], {
      default: "required",
      description:
        "Whether only clients with a certificate of clientCa connect, or others too. A certificate of somebody else's is refused either way.",
    }),
    minVersion: oneOf(["TLSv1.2", "TLSv1.3"], {
      default: "TLSv1.3",
      description: "Oldest TLS version that is spoken; of those a client speaks the newest is taken.",
    }),
  },
  { description: "TLS; left out, the port speaks plain text." },
);

export type TlsSettings = Infer<typeof tlsSchema>;

/** Certificate, key and authorities as text. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
  readonly clientCa: string | undefined;
}

/** What the process was started with. Reveals the secrets, so its result goes nowhere else. */
export function initialMaterial({ cert, key, clientCa }: TlsSettings): TlsMaterial {
  return { cert: cert.reveal(), key: key.reveal(), clientCa: clientCa?.reveal() };
}

/** For `tls.createServer` and `setSecureContext`. */
export function tlsOptions(
  { minVersion, clientCertificate }: TlsSettings,
  material: TlsMaterial,
): TlsOptions {
  const { cert, key, clientCa } = material;
  return {
    cert,
    key,
    minVersion,
    ...(clientCa !== undefined && {
      ca: clientCa,
      requestCert: true,
      // Where none is needed the gate tells who shows a wrong one from who shows none.
      rejectUnauthorized: clientCertificate === "required",
    }),
  };
}

/**
 * When the certificate ends, in Unix milliseconds.
 * @throws AppError `config.invalid` for what cannot be served: no PEM, a key that is not the certificate's, no authority in `clientCa`
 */
export function checkMaterial(settings: TlsSettings, material: TlsMaterial): number {
  try {
    createSecureContext(tlsOptions(settings, material));
    if (material.clientCa !== undefined) new X509Certificate(material.clientCa);
    return Date.parse(new X509Certificate(material.cert).validTo);
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    throw new AppError(
      "config.invalid",
      `the certificate ${settings.cert.source} with the key ${settings.key.source} cannot be used: ${code ?? message}`,
      { cause },
    );
  }
}
