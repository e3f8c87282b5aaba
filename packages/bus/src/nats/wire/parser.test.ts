import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { encodeHeaders, WireHeaders } from "./message.js";
import { WireParser, WireProtocolError } from "./parser.js";

interface Got {
  sid: number;
  line: string;
  headerBytes: number;
  payload: string;
}

function parser(maxPayloadBytes = 1_000_000) {
  const got: (Got | string)[] = [];
  const wire = new WireParser(
    {
      onMessage: (sid, line, headerBytes, payload) =>
        got.push({ sid, line: line.toString(), headerBytes, payload: payload.toString("hex") }),
      onInfo: (json) => got.push(`info ${json}`),
      onPing: () => got.push("ping"),
      onPong: () => got.push("pong"),
      onError: (text) => got.push(`error ${text}`),
    },
    maxPayloadBytes,
  );
  return { wire, got };
}

const word = fc.string({ unit: fc.constantFrom(..."abcXYZ019._-$*"), minLength: 1, maxLength: 12 });
const anyMessage = fc.record({
  subject: word,
  sid: fc.integer({ min: 1, max: 9_999 }),
  reply: fc.option(word, { nil: "" }),
  headers: fc.option(
    fc.dictionary(fc.constantFrom("A", "Nats-Msg-Id"), fc.stringMatching(/^[ -9;-~]{0,9}$/)),
    {
      nil: undefined,
    },
  ),
  payload: fc.uint8Array({ maxLength: 400 }),
});

function encode(m: typeof anyMessage extends fc.Arbitrary<infer T> ? T : never): { bytes: Buffer; got: Got } {
  const head = m.headers === undefined ? Buffer.alloc(0) : encodeHeaders(m.headers);
  const line = [m.subject, m.sid, ...(m.reply === "" ? [] : [m.reply])].join(" ");
  const size = head.length + m.payload.length;
  const control =
    m.headers === undefined ? `MSG ${line} ${size}\r\n` : `HMSG ${line} ${head.length} ${size}\r\n`;
  return {
    bytes: Buffer.concat([Buffer.from(control), head, m.payload, Buffer.from("\r\n")]),
    got: {
      sid: m.sid,
      line,
      headerBytes: head.length,
      payload: Buffer.concat([head, m.payload]).toString("hex"),
    },
  };
}

describe("the parser", () => {
  it("finds the same messages however the bytes are cut", () => {
    fc.assert(
      fc.property(
        fc.array(anyMessage, { maxLength: 6 }),
        fc.array(fc.integer({ min: 1, max: 64 }), { minLength: 1, maxLength: 12 }),
        (messages, cuts) => {
          const encoded = messages.map(encode);
          const bytes = Buffer.concat([
            Buffer.from('INFO {"a":1}\r\nPING\r\n'),
            ...encoded.map((e) => e.bytes),
            Buffer.from("PONG\r\n-ERR 'no'\r\n+OK\r\n"),
          ]);
          const { wire, got } = parser();
          for (let at = 0, i = 0; at < bytes.length; i++) {
            // The chunk is overwritten afterwards, as the connection's read buffer is.
            const chunk = Buffer.from(bytes.subarray(at, at + cuts[i % cuts.length]!));
            at += chunk.length;
            wire.push(chunk);
            chunk.fill(0x21);
          }
          expect(got).toEqual(['info {"a":1}', "ping", ...encoded.map((e) => e.got), "pong", "error 'no'"]);
        },
      ),
    );
  });

  it("ends random and mutated bytes with WireProtocolError or with nothing, never otherwise", () => {
    fc.assert(
      fc.property(
        anyMessage,
        fc.array(fc.tuple(fc.nat(500), fc.nat(255)), { maxLength: 4 }),
        fc.uint8Array({ maxLength: 200 }),
        (message, flips, noise) => {
          const { bytes } = encode(message);
          for (const [at, value] of flips) bytes[at % bytes.length] = value;
          const { wire } = parser(1_000);
          try {
            wire.push(Buffer.concat([bytes, noise]));
          } catch (thrown) {
            expect(thrown).toBeInstanceOf(WireProtocolError);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it.each([
    "MSG\r\n",
    "MSG a\r\n",
    "MSG a 1\r\n",
    "MSG a x 3\r\n",
    "MSG a 1 -3\r\n",
    "MSG a 1 3x\r\n",
    "MSG a 1 99999999999\r\n",
    "MSG a 1 5000000\r\n",
    "HMSG a 1 9 3\r\n",
    "HTTP/1.1 400 Bad Request\r\n",
    "SSH-2.0-x\r\n",
  ])("refuses %j", (line) => {
    expect(() => parser().wire.push(Buffer.from(line))).toThrow(WireProtocolError);
  });

  it("gives up on a line without end before it has kept much of it", () => {
    const { wire } = parser();
    expect(() => {
      for (let i = 0; i < 1_000; i++) wire.push(Buffer.alloc(1_024, 0x41));
    }).toThrow(WireProtocolError);
  });
});

describe("headers", () => {
  it("give back what was encoded, and the status of a server", () => {
    const headers = new WireHeaders(encodeHeaders({ "Nats-Msg-Id": "a.1", Other: "x y" }));
    expect([headers.get("Nats-Msg-Id"), headers.get("Other"), headers.get("None")]).toEqual([
      "a.1",
      "x y",
      "",
    ]);
    expect([headers.has("Other"), headers.has("Nats"), headers.code]).toEqual([true, false, 0]);
    expect(new WireHeaders(Buffer.from("NATS/1.0 503\r\n\r\n")).code).toBe(503);
    expect(new WireHeaders(Buffer.from("NATS/1.0 409 Consumer Deleted\r\n\r\n")).code).toBe(409);
  });

  it("cannot be forged by a line break", () => {
    expect(() => encodeHeaders({ a: "b\r\nNats-Msg-Id: c" })).toThrow(RangeError);
    expect(() => encodeHeaders({ "a\r\nb": "c" })).toThrow(RangeError);
  });
});
