import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { isSameHead, tryParseDirectHead } from "./direct-head.js";

const LINE = "POST /api/v1/devices/d-1/messages/a/b?lane=telemetry HTTP/1.1";
const HEADERS = ["Host: box:8080", "Content-Type: application/json", "Content-Length: 12"];
const headOf = (line = LINE, headers = HEADERS): Buffer =>
  Buffer.from([line, ...headers, "", ""].join("\r\n"), "latin1");

it("reads what a plain POST says", () => {
  const bytes = headOf(LINE, [
    ...HEADERS,
    "User-Agent: x",
    "authorization: Basic YTpi",
    "Connection: Keep-Alive",
  ]);
  expect(tryParseDirectHead(Buffer.concat([Buffer.from("??"), bytes, Buffer.from("{}")]), 2)).toEqual({
    bytes,
    deviceId: "d-1",
    path: "a/b",
    lane: 0,
    host: "box:8080",
    authorization: "Basic YTpi",
    contentType: "application/json",
    contentLength: 12,
  });
  expect(tryParseDirectHead(headOf("POST /api/v1/devices/d/messages/x HTTP/1.1"), 0)).toMatchObject({
    lane: 1,
    authorization: "",
  });
});

describe("leaves to the library", () => {
  it.each([
    ["another method", "PUT /api/v1/devices/d/messages/x HTTP/1.1", HEADERS],
    ["another version", "POST /api/v1/devices/d/messages/x HTTP/1.0", HEADERS],
    ["another path", "POST /api/v1/devices/d/commands/x HTTP/1.1", HEADERS],
    ["an escape", "POST /api/v1/devices/d/messages/%61 HTTP/1.1", HEADERS],
    ["a fragment", "POST /api/v1/devices/d/messages/x#y HTTP/1.1", HEADERS],
    ["a wildcard", "POST /api/v1/devices/d/messages/+ HTTP/1.1", HEADERS],
    ["another query", "POST /api/v1/devices/d/messages/x?lane=telemetry&lane=event HTTP/1.1", HEADERS],
    ["an absolute target", "POST http://h/api/v1/devices/d/messages/x HTTP/1.1", HEADERS],
    ["two spaces", "POST  /api/v1/devices/d/messages/x HTTP/1.1", HEADERS],
    ["no host", LINE, HEADERS.slice(1)],
    ["two hosts", LINE, [...HEADERS, "Host: other"]],
    ["no length", LINE, HEADERS.slice(0, 2)],
    ["two lengths", LINE, [...HEADERS, "Content-Length: 12"]],
    ["a signed length", LINE, [...HEADERS.slice(0, 2), "Content-Length: +12"]],
    ["a length of nothing", LINE, [...HEADERS.slice(0, 2), "Content-Length: 0"]],
    ["a list of lengths", LINE, [...HEADERS.slice(0, 2), "Content-Length: 12, 12"]],
    ["a transfer coding", LINE, [...HEADERS, "Transfer-Encoding: chunked"]],
    ["an expectation", LINE, [...HEADERS, "Expect: 100-continue"]],
    ["an upgrade", LINE, [...HEADERS, "Upgrade: h2c"]],
    ["an origin", LINE, [...HEADERS, "Origin: http://a"]],
    ["a key", LINE, [...HEADERS, "Idempotency-Key: k"]],
    ["a trace", LINE, [...HEADERS, "traceparent: 00-x"]],
    ["an unknown header", LINE, [...HEADERS, "X-Other: 1"]],
    ["a content coding", LINE, [...HEADERS, "Content-Encoding: gzip"]],
    ["a connection to close", LINE, [...HEADERS, "Connection: close"]],
    ["a folded header", LINE, [...HEADERS, " folded"]],
    ["a space before the colon", LINE, [...HEADERS, "Accept : */*"]],
    ["an empty value", LINE, [...HEADERS, "Accept:"]],
    ["a bare line feed", LINE, [...HEADERS, "Accept: a\nContent-Length: 1"]],
    ["a bare carriage return", LINE, [...HEADERS, "Accept: a\rb"]],
    ["a control character", LINE, [...HEADERS, "Accept: a\0b"]],
    ["a byte beyond ASCII", LINE, [...HEADERS, "Accept: \xe9"]],
    ["a type with parameters", LINE, ["Host: a", "Content-Type: text/plain; a=b", "Content-Length: 1"]],
    ["a head beyond the bound", LINE, [...HEADERS, `Accept: ${"a".repeat(2048)}`]],
  ])("%s", (_, line, headers) => {
    expect(tryParseDirectHead(headOf(line, headers), 0)).toBeUndefined();
  });

  it("a head cut anywhere", () => {
    const bytes = headOf();
    for (let end = 0; end < bytes.length; end++) {
      expect(tryParseDirectHead(bytes.subarray(0, end), 0)).toBeUndefined();
    }
  });
});

it("finds nothing else in a head that was changed anywhere", () => {
  const bytes = headOf();
  const place = fc.nat(bytes.length - 1);
  fc.assert(
    fc.property(place, fc.nat(255), (at, byte) => {
      const changed = Buffer.from(bytes);
      changed[at] = byte;
      const head = tryParseDirectHead(changed, 0);
      // What is read is what stands there, letter by letter; everything else is left alone.
      if (head !== undefined) {
        const said = `POST /api/v1/devices/${head.deviceId}/messages/${head.path}`;
        expect(changed.toString("latin1")).toContain(said);
        expect(changed.toString("latin1")).toMatch(new RegExp(`: ?${head.contentLength}\r\n`));
        expect(isSameHead(head, changed, 0)).toBe(true);
        expect(isSameHead(head, bytes, 0)).toBe(changed.equals(bytes));
      }
    }),
    { numRuns: 5000 },
  );
});
