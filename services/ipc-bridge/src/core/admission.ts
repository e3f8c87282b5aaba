/** Who may connect as which app. */
import type { app } from "@myelin/contract";

/** Where a stream comes from, as its transport names it. */
export interface Peer {
  /** `unix`, or an address with port. */
  readonly address: string;
  /** A Unix socket (its file mode decides who can connect) or loopback. */
  readonly local: boolean;
}

/** Asked once per stream, after the hello was checked for form. */
export interface AppAdmission {
  /** Resolves when the app may connect. @throws AppError `auth.bad_credentials`, `auth.not_authorized` */
  admit(hello: app.AppHello, peer: Peer): Promise<void>;
}

/** Reads the peer string of a FrameStream. */
export function peerOf(address: string): Peer {
  const host = address
    .replace(/^ipv[46]:/, "")
    .replace(/:\d+$/, "")
    .replace(/^\[|\]$/g, "")
    .replace(/^::ffff:/, "");
  const local =
    address.startsWith("unix") || host === "::1" || host === "localhost" || /^127\.\d+\.\d+\.\d+$/.test(host);
  return { address, local };
}
