/** The PROXY protocol, versions 1 and 2: what a load balancer writes before the first byte of the client it speaks for. */
import { isIPv4, isIPv6 } from "node:net";

/** Which headers a port takes from proxies; `off`: none, a header is garbage. */
export const PROXY_MODES = ["off", "v1", "v2", "any"] as const;
export type ProxyMode = (typeof PROXY_MODES)[number];

/** For whom a proxy speaks. */
export interface ProxiedClient {
  /** Absent: the proxy speaks for itself, or does not know; the address of the connection holds. */
  readonly address?: string | undefined;
  /** Common name of the certificate that the client has shown to the proxy and the proxy has verified. */
  readonly commonName?: string | undefined;
  /** Length of the header; what follows is the client's. */
  readonly bytes: number;
}

/** Why a header is not taken; metric labels. */
export type ProxyFault = "proxy_missing" | "proxy_version" | "proxy_malformed" | "proxy_too_large";

/** Longest header, so that a connection keeps no more than this while its header is not complete; the specification asks senders for 536 at most. */
export const MAX_PROXY_HEADER_BYTES = 4096;

const SIGNATURE = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");
const V1_START = Buffer.from("PROXY ", "latin1");
const V1_MAX_BYTES = 107;
const V2_HEAD_BYTES = 16;
const COMMAND = { local: 0, proxy: 1 } as const;
/** By family and transport in one byte, section 2.2: how many bytes of addresses there are. */
const ADDRESS_BYTES: Readonly<Record<number, number>> = {
  0: 0,
  17: 12,
  18: 12,
  33: 36,
  34: 36,
  49: 216,
  50: 216,
};
const TLV = { crc32c: 0x03, uniqueId: 0x05, ssl: 0x20, sslCommonName: 0x22 } as const;
const MAX_UNIQUE_ID_BYTES = 128;
/** Flags of the SSL field: spoken over TLS, with a certificate in this connection or in the session that it resumes. */
const CLIENT_TLS = 1;
const CLIENT_CERTIFICATE = 2 | 4;

/** The header at the start of `bytes`, `more` while it is not all there, or what is wrong with it. Keeps nothing of `bytes`. */
export function readProxyHeader(
  bytes: Buffer,
  mode: Exclude<ProxyMode, "off">,
): ProxiedClient | "more" | ProxyFault {
  const version = versionOf(bytes);
  if (typeof version === "string") return version;
  if (mode !== "any" && mode !== `v${version}`) return "proxy_version";
  return version === 1 ? readV1(bytes) : readV2(bytes);
}

/** True when the bytes begin like a header, as far as they go. */
export function mayBeProxyHeader(bytes: Buffer): boolean {
  return startsLike(bytes, SIGNATURE) || startsLike(bytes, V1_START);
}

/** True when the bytes begin with all that tells a header from everything else. */
export function isProxyHeader(bytes: Buffer): boolean {
  return typeof versionOf(bytes) === "number";
}

function versionOf(bytes: Buffer): 1 | 2 | "more" | "proxy_missing" {
  if (!mayBeProxyHeader(bytes)) return "proxy_missing";
  if (bytes.length >= SIGNATURE.length && startsLike(bytes, SIGNATURE)) return 2;
  return bytes.length >= V1_START.length && startsLike(bytes, V1_START) ? 1 : "more";
}

function startsLike(bytes: Buffer, wanted: Buffer): boolean {
  const count = Math.min(bytes.length, wanted.length);
  return bytes.compare(wanted, 0, count, 0, count) === 0;
}

function readV1(bytes: Buffer): ProxiedClient | "more" | ProxyFault {
  const end = bytes.subarray(0, V1_MAX_BYTES).indexOf("\r\n");
  if (end < 0) {
    if (bytes.length >= V1_MAX_BYTES) return "proxy_too_large";
    // A bare line feed ends no line here, and would let us wait for the rest in vain.
    return bytes.includes(0x0a) ? "proxy_malformed" : "more";
  }
  const words = bytes.toString("latin1", V1_START.length, end).split(" ");
  const length = end + 2;
  const [family, source = "", target = "", sourcePort = "", targetPort = ""] = words;
  // What comes behind UNKNOWN is to be ignored.
  if (family === "UNKNOWN") return { bytes: length };
  const isAddress = family === "TCP4" ? isIPv4 : family === "TCP6" ? isPlainIPv6 : undefined;
  const isWhole =
    words.length === 5 &&
    isAddress?.(source) === true &&
    isAddress(target) &&
    isPort(sourcePort) &&
    isPort(targetPort);
  if (!isWhole) return "proxy_malformed";
  return { address: family === "TCP6" ? shortest(source) : source, bytes: length };
}

/** Without the name of an interface, which means nothing on another machine. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes("%");
}

function isPort(text: string): boolean {
  return /^(0|[1-9]\d{0,4})$/.test(text) && Number(text) <= 65_535;
}

function readV2(bytes: Buffer): ProxiedClient | "more" | ProxyFault {
  if (bytes.length < V2_HEAD_BYTES) {
    return bytes.length > 12 && !isCommand(bytes[12]!) ? "proxy_malformed" : "more";
  }
  if (!isCommand(bytes[12]!)) return "proxy_malformed";
  const length = V2_HEAD_BYTES + bytes.readUInt16BE(14);
  if (length > MAX_PROXY_HEADER_BYTES) return "proxy_too_large";
  const isLocal = (bytes[12]! & 15) === COMMAND.local;
  const addressBytes = ADDRESS_BYTES[bytes[13]!];
  // The proxy's own connection: family, addresses and all else are to be skipped.
  if (isLocal) return bytes.length < length ? "more" : { bytes: length };
  const tlvsAt = V2_HEAD_BYTES + (addressBytes ?? 0);
  if (addressBytes === undefined || tlvsAt > length) return "proxy_malformed";
  if (bytes.length < length) return "more";
  const header = bytes.subarray(0, length);
  const tlvs = addressBytes === 0 ? undefined : readTlvs(header, tlvsAt);
  if (tlvs === "proxy_malformed") return tlvs;
  return { address: v2Address(header), commonName: tlvs?.commonName, bytes: length };
}

function isCommand(byte: number): boolean {
  return byte >> 4 === 2 && (byte & 15) <= COMMAND.proxy;
}

/** Undefined for a client that came to the proxy by a Unix socket: it is where the proxy is. */
function v2Address(header: Buffer): string | undefined {
  const family = header[13]! >> 4;
  if (family === 1) return [...header.subarray(16, 20)].join(".");
  if (family !== 2) return undefined;
  const groups: string[] = [];
  for (let at = 16; at < 32; at += 2) groups.push(header.readUInt16BE(at).toString(16));
  return shortest(groups.join(":"));
}

/** The one form of an IPv6 address that sockets print too: limits count by it. */
function shortest(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** Fields behind the addresses. Unknown ones are skipped, as the specification asks; all must have their whole length. */
function readTlvs(header: Buffer, from: number): { readonly commonName?: string } | "proxy_malformed" {
  let commonName: string | undefined;
  for (let at = from; at < header.length; ) {
    const end = tlvEnd(header, at, header.length);
    if (end === undefined) return "proxy_malformed";
    const value = header.subarray(at + 3, end);
    const type = header[at]!;
    if (type === TLV.uniqueId && value.length > MAX_UNIQUE_ID_BYTES) return "proxy_malformed";
    if (type === TLV.crc32c && !isChecksum(header, at + 3, value)) return "proxy_malformed";
    if (type === TLV.ssl) {
      const found = readSsl(value);
      if (found === undefined) return "proxy_malformed";
      commonName = found.commonName;
    }
    at = end;
  }
  return commonName === undefined ? {} : { commonName };
}

function tlvEnd(bytes: Buffer, at: number, limit: number): number | undefined {
  if (at + 3 > limit) return undefined;
  const end = at + 3 + bytes.readUInt16BE(at + 1);
  return end > limit ? undefined : end;
}

function readSsl(value: Buffer): { readonly commonName?: string } | undefined {
  if (value.length < 5) return undefined;
  const flags = value[0]!;
  const isVerified = value.readUInt32BE(1) === 0;
  let commonName: string | undefined;
  for (let at = 5; at < value.length; ) {
    const end = tlvEnd(value, at, value.length);
    if (end === undefined) return undefined;
    if (value[at] === TLV.sslCommonName) commonName = value.toString("utf8", at + 3, end);
    at = end;
  }
  const isShown = (flags & CLIENT_TLS) !== 0 && (flags & CLIENT_CERTIFICATE) !== 0;
  return isShown && isVerified && commonName !== undefined ? { commonName } : {};
}

/** The sum is over the whole header with the field itself taken as zero. */
function isChecksum(header: Buffer, at: number, value: Buffer): boolean {
  if (value.length !== 4) return false;
  const copy = Buffer.from(header);
  copy.fill(0, at, at + 4);
  return crc32c(copy) === value.readUInt32BE(0);
}

function crc32c(bytes: Buffer): number {
  let crc = 0xffff_ffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (0x82f6_3b78 & -(crc & 1));
  }
  return ~crc >>> 0;
}
