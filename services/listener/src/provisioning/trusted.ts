/** What the profiles in force trust: tokens and authorities, read from where they are. */
import { createHash, timingSafeEqual, X509Certificate } from "node:crypto";
import { type ProvisioningSpec, resolveSecret } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import type { ClientCertificate } from "../core/admission.js";

/** A profile that lets devices in by itself. */
export interface ProvisioningProfile {
  readonly name: string;
  readonly spec: ProvisioningSpec;
}

/** One thing that a profile trusts. */
export interface Trust {
  /** The same as long as the profile trusts the same thing. */
  readonly key: string;
  readonly profile: ProvisioningProfile;
  /** SHA-256 of the token. */
  readonly digest?: Buffer;
  readonly authority?: X509Certificate;
}

const MIN_TOKEN = 16;
const HASHED = /^sha256:([0-9a-f]{64})$/i;

/** Everything that is trusted. Two profiles that trust one thing: the first by name counts. */
export class Trusted {
  readonly #tokens: readonly Trust[];
  readonly #authorities: readonly Trust[];
  readonly #keys: ReadonlySet<string>;

  constructor(all: readonly Trust[]) {
    this.#tokens = all.filter(({ digest }) => digest !== undefined);
    this.#authorities = all.filter(({ authority }) => authority !== undefined);
    this.#keys = new Set(all.map(({ key }) => key));
  }

  /** Some profile trusts a token. */
  get hasTokens(): boolean {
    return this.#tokens.length > 0;
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** What was changed in, such as a limit, counts at once. */
  isSame(other: Trusted): boolean {
    return this.#keys.size === other.#keys.size && [...this.#keys].every((key) => other.#keys.has(key));
  }

  /** In a time that does not tell how much of it is right. */
  byToken(token: Uint8Array): Trust | undefined {
    const digest = sha256(token);
    let found: Trust | undefined;
    for (const trust of this.#tokens) if (timingSafeEqual(trust.digest!, digest)) found ??= trust;
    return found;
  }

  byCertificate({ isIssuedBy }: ClientCertificate): Trust | undefined {
    if (isIssuedBy === undefined) return undefined;
    return this.#authorities.find(({ authority }) => isIssuedBy(authority!));
  }
}

/** Reads all of it; what cannot be read or is no such thing is told, and not trusted. */
export async function readTrusted(
  profiles: readonly ProvisioningProfile[],
): Promise<{ readonly trusted: Trusted; readonly problems: readonly string[] }> {
  const all: Trust[] = [];
  const problems: string[] = [];
  for (const profile of profiles.toSorted((a, b) => (a.name < b.name ? -1 : 1)))
    for (const [i, { token, authority }] of profile.spec.trust.entries()) {
      const path = `${profile.name}: provisioning.trust[${i}]`;
      try {
        if (token !== undefined) all.push(trustOfToken(profile, (await resolveSecret(token)).reveal()));
        else if (authority !== undefined)
          all.push(...trustOfAuthorities(profile, (await resolveSecret(authority)).reveal()));
      } catch (thrown) {
        problems.push(`${path}: ${AppError.from(thrown).message}`);
      }
    }
  return { trusted: new Trusted(all), problems };
}

function trustOfToken(profile: ProvisioningProfile, text: string): Trust {
  const [, hex] = HASHED.exec(text) ?? [];
  if (hex === undefined && text.length < MIN_TOKEN)
    throw new AppError("config.invalid", `a token must have ${MIN_TOKEN} characters or more`);
  const digest = hex === undefined ? sha256(Buffer.from(text)) : Buffer.from(hex, "hex");
  return { key: `${profile.name} ${digest.toString("hex")}`, profile, digest };
}

function trustOfAuthorities(profile: ProvisioningProfile, pem: string): Trust[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0)
    throw new AppError("config.invalid", "an authority must be a certificate in PEM form");
  return blocks.map((block) => {
    const authority = parse(block);
    return { key: `${profile.name} ${authority.fingerprint256}`, profile, authority };
  });
}

function parse(pem: string): X509Certificate {
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(pem);
  } catch (cause) {
    throw new AppError("config.invalid", "an authority must be a certificate in PEM form", { cause });
  }
  if (!certificate.ca) throw new AppError("config.invalid", "the certificate is not that of an authority");
  return certificate;
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
