import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isProxyHeader, mayBeProxyHeader, readProxyHeader } from "./proxy-protocol.js";

const SIGNATURE = "0d0a0d0a000d0a515549540a";
const IPV4 = "c0a80001" + "0a000001" + "dbfc" + "075b";
const IPV6 = "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "dbfc" + "075b";

function v2(command: number, family: number, rest: string): Buffer {
  const body = Buffer.from(rest, "hex");
  const head = Buffer.from(`${SIGNATURE}000000 00`.replaceAll(" ", ""), "hex");
  head[12] = command;
  head[13] = family;
  head.writeUInt16BE(body.length, 14);
  return Buffer.concat([head, body]);
}

function tlv(type: number, value: Buffer | string): string {
  const bytes = Buffer.from(value);
  const head = Buffer.of(type, bytes.length >> 8, bytes.length & 255);
  return Buffer.concat([head, bytes]).toString("hex");
}

function ssl(flags: number, verify: number, commonName: string): string {
  const head = Buffer.from([flags, 0, 0, 0, verify]);
  return tlv(0x20, Buffer.concat([head, Buffer.from(tlv(0x21, "TLSv1.3") + tlv(0x22, commonName), "hex")]));
}

/** The sum of this header was made by another program. */
const SUMMED = v2(0x21, 0x11, `${IPV4}${tlv(3, Buffer.from("4ddb8cd2", "hex"))}`);

const GOOD: [string, Buffer, string | undefined, string?][] = [
  ["v1 TCP4", Buffer.from("PROXY TCP4 192.168.0.1 10.0.0.1 56316 1883\r\n"), "192.168.0.1"],
  ["v1 TCP6", Buffer.from("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), "2001:db8::1"],
  ["v1 TCP6 in a long form", Buffer.from("PROXY TCP6 2001:DB8:0:0::1 ::2 1 2\r\n"), "2001:db8::1"],
  ["v1 UNKNOWN", Buffer.from("PROXY UNKNOWN\r\n"), undefined],
  ["v1 UNKNOWN with anything behind it", Buffer.from("PROXY UNKNOWN ff ff 65535\r\n"), undefined],
  ["v2 TCP over IPv4", v2(0x21, 0x11, IPV4), "192.168.0.1"],
  ["v2 UDP over IPv4", v2(0x21, 0x12, IPV4), "192.168.0.1"],
  ["v2 TCP over IPv6", v2(0x21, 0x21, IPV6), "2001:db8::1"],
  ["v2 Unix socket", v2(0x21, 0x31, "00".repeat(216)), undefined],
  ["v2 unspecified", v2(0x21, 0x00, ""), undefined],
  ["v2 unspecified with bytes to skip", v2(0x21, 0x00, "0102030405"), undefined],
  ["v2 LOCAL", v2(0x20, 0x00, ""), undefined],
  ["v2 LOCAL with addresses to skip", v2(0x20, 0x11, IPV4), undefined],
  ["v2 LOCAL with a family nobody knows", v2(0x20, 0xff, "00ff"), undefined],
  [
    "v2 with protocol, authority, unique id, padding, name space and an unknown field",
    v2(
      0x21,
      0x11,
      IPV4 +
        tlv(1, "mqtt") +
        tlv(2, "example.com") +
        tlv(5, "x".repeat(128)) +
        tlv(4, "00") +
        tlv(0x30, "ns") +
        tlv(0xee, "?"),
    ),
    "192.168.0.1",
  ],
  ["v2 with a certificate", v2(0x21, 0x11, IPV4 + ssl(3, 0, "boiler-1")), "192.168.0.1", "boiler-1"],
  [
    "v2 with a certificate of the session",
    v2(0x21, 0x11, IPV4 + ssl(5, 0, "boiler-1")),
    "192.168.0.1",
    "boiler-1",
  ],
  [
    "v2 with a certificate that was not verified",
    v2(0x21, 0x11, IPV4 + ssl(3, 1, "boiler-1")),
    "192.168.0.1",
  ],
  ["v2 with a name but no certificate", v2(0x21, 0x11, IPV4 + ssl(1, 0, "boiler-1")), "192.168.0.1"],
];

const BAD: [string, Buffer, string][] = [
  ["no header at all", Buffer.from([0x10, 0x0c, 0, 4]), "proxy_missing"],
  ["a TLS greeting", Buffer.from([0x16, 3, 1, 0]), "proxy_missing"],
  ["an HTTP request", Buffer.from("POST / HTTP/1.1\r\n"), "proxy_missing"],
  ["v1 in lower case", Buffer.from("proxy TCP4 1.2.3.4 1.2.3.4 1 1\r\n"), "proxy_missing"],
  ["v1 with a family nobody knows", Buffer.from("PROXY UDP4 1.2.3.4 1.2.3.4 1 1\r\n"), "proxy_malformed"],
  ["v1 without a family", Buffer.from("PROXY \r\n"), "proxy_malformed"],
  ["v1 with too few words", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n"), "proxy_malformed"],
  ["v1 with too many words", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1 1 1\r\n"), "proxy_malformed"],
  ["v1 with two spaces", Buffer.from("PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n"), "proxy_malformed"],
  ["v1 with an IPv6 address for TCP4", Buffer.from("PROXY TCP4 ::1 1.2.3.4 1 1\r\n"), "proxy_malformed"],
  ["v1 with an IPv4 address for TCP6", Buffer.from("PROXY TCP6 1.2.3.4 ::1 1 1\r\n"), "proxy_malformed"],
  [
    "v1 with an interface in the address",
    Buffer.from("PROXY TCP6 fe80::1%eth0 ::1 1 1\r\n"),
    "proxy_malformed",
  ],
  ["v1 with an octal address", Buffer.from("PROXY TCP4 010.0.0.1 1.2.3.4 1 1\r\n"), "proxy_malformed"],
  ["v1 with a name", Buffer.from("PROXY TCP4 localhost 1.2.3.4 1 1\r\n"), "proxy_malformed"],
  ["v1 with port 65536", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 65536 1\r\n"), "proxy_malformed"],
  [
    "v1 with a port that begins with 0",
    Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n"),
    "proxy_malformed",
  ],
  ["v1 with a negative port", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n"), "proxy_malformed"],
  ["v1 that ends with a bare line feed", Buffer.from("PROXY TCP4 1.2.3.4 1.2.3.4 1 1\n"), "proxy_malformed"],
  ["v1 without an end", Buffer.from(`PROXY UNKNOWN ${"x".repeat(120)}`), "proxy_too_large"],
  ["v2 of version 1", v2(0x11, 0x11, IPV4), "proxy_malformed"],
  ["v2 of version 3", v2(0x31, 0x11, IPV4), "proxy_malformed"],
  ["v2 with a command nobody knows", v2(0x22, 0x11, IPV4), "proxy_malformed"],
  ["v2 with a family nobody knows", v2(0x21, 0x41, IPV4), "proxy_malformed"],
  ["v2 with a transport nobody knows", v2(0x21, 0x13, IPV4), "proxy_malformed"],
  ["v2 with a family and no transport", v2(0x21, 0x10, IPV4), "proxy_malformed"],
  ["v2 with half an IPv4 pair", v2(0x21, 0x11, IPV4.slice(2)), "proxy_malformed"],
  ["v2 with half an IPv6 pair", v2(0x21, 0x21, IPV6.slice(2)), "proxy_malformed"],
  ["v2 with half a Unix pair", v2(0x21, 0x31, "00".repeat(215)), "proxy_malformed"],
  ["v2 of 5 kB", v2(0x21, 0x11, IPV4 + "00".repeat(5000)), "proxy_too_large"],
  ["v2 with a field of two bytes", v2(0x21, 0x11, `${IPV4}0200`), "proxy_malformed"],
  [
    "v2 with a field longer than the header",
    v2(0x21, 0x11, `${IPV4}02000161`.slice(0, -2)),
    "proxy_malformed",
  ],
  ["v2 with a unique id of 129 bytes", v2(0x21, 0x11, IPV4 + tlv(5, "x".repeat(129))), "proxy_malformed"],
  ["v2 with a short SSL field", v2(0x21, 0x11, IPV4 + tlv(0x20, "1234")), "proxy_malformed"],
  [
    "v2 with a broken field within SSL",
    v2(0x21, 0x11, IPV4 + tlv(0x20, "12345\x22\x00\x09a")),
    "proxy_malformed",
  ],
  ["v2 with a wrong checksum", v2(0x21, 0x11, IPV4 + tlv(3, "abcd")), "proxy_malformed"],
  ["v2 with a checksum of three bytes", v2(0x21, 0x11, IPV4 + tlv(3, "abc")), "proxy_malformed"],
];

describe("a header", () => {
  it.each(GOOD)(
    "%s is read, wherever it is cut, and what follows is left",
    (_, bytes, address, commonName) => {
      for (let cut = 0; cut < bytes.length; cut++)
        expect([cut, readProxyHeader(bytes.subarray(0, cut), "any")]).toEqual([cut, "more"]);
      const followed = Buffer.concat([bytes, Buffer.from("PROXY ")]);
      expect(readProxyHeader(followed, "any")).toEqual({
        bytes: bytes.length,
        ...(address !== undefined && { address }),
        ...(commonName !== undefined && { commonName }),
      });
    },
  );

  it.each(BAD)("%s is refused, and never taken when it is cut", (_, bytes, fault) => {
    expect(readProxyHeader(bytes, "any")).toBe(fault);
    for (let cut = 0; cut < bytes.length; cut++)
      expect(["more", fault]).toContain(readProxyHeader(bytes.subarray(0, cut), "any"));
  });

  it("with a right checksum is taken, and with any byte of it changed refused", () => {
    const summed = Buffer.from(SUMMED);
    expect(readProxyHeader(summed, "v2")).toMatchObject({ address: "192.168.0.1" });
    for (let at = 16; at < 28; at++) {
      const broken = Buffer.from(summed);
      broken[at]! ^= 1;
      expect(readProxyHeader(broken, "v2")).toBe("proxy_malformed");
    }
  });

  it("of the version that is not set is refused", () => {
    expect(readProxyHeader(GOOD[0]![1], "v2")).toBe("proxy_version");
    expect(readProxyHeader(v2(0x21, 0x11, IPV4), "v1")).toBe("proxy_version");
  });
});

describe("any bytes", () => {
  it("are a header, the beginning of one, or refused; one is recognised as soon as it is taken", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc.uint8Array({ maxLength: 400 }).map((rest) => Buffer.concat([Buffer.from(SIGNATURE, "hex"), rest])),
      fc.string().map((text) => Buffer.from(`PROXY ${text}\r\n`)),
      fc
        .tuple(fc.constantFrom(...GOOD.map(([, good]) => good)), fc.nat(), fc.nat(255))
        .map(([good, at, byte]) => {
          const broken = Buffer.from(good);
          broken[at % broken.length] = byte;
          return broken;
        }),
    );
    fc.assert(
      fc.property(bytes, (input) => {
        const found = readProxyHeader(Buffer.from(input), "any");
        if (typeof found !== "string") {
          expect(isProxyHeader(Buffer.from(input))).toBe(true);
          expect(found.bytes).toBeLessThanOrEqual(input.length);
        }
        if (found === "more") expect(mayBeProxyHeader(Buffer.from(input))).toBe(true);
      }),
      { numRuns: 3000 },
    );
  });
});
