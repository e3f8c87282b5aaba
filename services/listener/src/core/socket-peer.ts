/** Who is at the other end of a socket: its own answer, or what a proxy in front has said. */
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { TLSSocket } from "node:tls";
import type { ClientCertificate } from "./admission.js";

/** The address of clients that come by a Unix socket: on this machine, and let in by the file's mode. */
export const UNIX_PEER = "unix";

const PEER = Symbol("peer");
const MAX_CHAIN = 8;

/** What is not to be had from the socket itself. Plain connections carry none of it. */
export interface KnownPeer {
  readonly address: string;
  readonly commonName?: string | undefined;
}

interface PeerSocket extends Duplex {
  [PEER]?: KnownPeer;
}

/** From here on `addressOf` and `certificateOf` answer with this. */
export function knowPeer(socket: Duplex, peer: KnownPeer): void {
  (socket as PeerSocket)[PEER] = peer;
}

/** What was told of the socket; undefined for a plain connection. */
export function knownPeer(socket: Duplex): KnownPeer | undefined {
  return (socket as PeerSocket)[PEER];
}

/** Remote IP address as Node prints it, or UNIX_PEER; empty when the socket is gone already. */
export function addressOf(socket: Duplex): string {
  return knownPeer(socket)?.address ?? (socket as Socket).remoteAddress ?? "";
}

/** The certificate that the client has shown and that was verified, here or by a trusted proxy. Slow: once per connection. */
export function certificateOf(stream: object): ClientCertificate | undefined {
  const transport = (stream as { readonly transport?: unknown }).transport ?? stream;
  if (transport instanceof TLSSocket && transport.authorized) {
    const { subject, subjectaltname = "" } = transport.getPeerCertificate();
    if (subject !== undefined)
      return {
        commonName: first(subject.CN),
        names: namesOf(subjectaltname),
        isIssuedBy: (authority) => isIssuedBy(transport, authority),
      };
  }
  const commonName = (transport as PeerSocket)[PEER]?.commonName;
  return commonName === undefined ? undefined : { commonName, names: [] };
}

/** TLS has verified the chain already; this asks whether the authority is in it. */
function isIssuedBy(socket: TLSSocket, authority: X509Certificate): boolean {
  let certificate = socket.getPeerX509Certificate();
  for (let depth = 0; certificate !== undefined && depth < MAX_CHAIN; depth++) {
    if (certificate.checkIssued(authority) && certificate.verify(authority.publicKey)) return true;
    const issuer = certificate.issuerCertificate;
    if (issuer?.fingerprint256 === certificate.fingerprint256) return false;
    certificate = issuer;
  }
  return false;
}

function first(value: string | string[] | undefined): string {
  return (Array.isArray(value) ? value[0] : value) ?? "";
}

/** `DNS:a, URI:b`; a name with a comma or a quote in it stands in quotes, as a string of JSON. */
function namesOf(text: string): readonly string[] {
  const names: string[] = [];
  for (const [, type, value = ""] of text.matchAll(/([^:,]+):("(?:[^"\\]|\\.)*"|[^,]*)(?:, |$)/g)) {
    names.push(`${type}:${value.startsWith('"') ? (JSON.parse(value) as string) : value}`);
  }
  return names;
}
