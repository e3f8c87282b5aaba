import { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyControl, anyMessage } from "../../test/mcp-arbitraries.js";
import * as wire from "../generated/myelin/mcp/v1/mcp.js";
import { decodeMcpDatagram, encodeMcpFrame, viewMcpFrame } from "./frame.js";
import { toWireMessage } from "./message.js";
import { McpMessageView } from "./view.js";

const viewOf = (bytes: Buffer) => {
  const view = new McpMessageView();
  view.read(bytes, 0, bytes.length);
  return view;
};
const hex = (text: string) => Buffer.from(text, "hex");

describe("McpMessageView", () => {
  it("reads what the generated encoder writes, and the generated decoder reads what we write", () => {
    fc.assert(
      fc.property(anyMessage, (message) => {
        const generated = toWireMessage(message);
        const frame = encodeMcpFrame(message);
        expect(wire.MCPMessage.decode(frame.subarray(8))).toEqual(
          wire.MCPMessage.decode(wire.MCPMessage.encode(generated).finish()),
        );
        const view = new McpMessageView();
        expect(viewMcpFrame(view, frame)).toBe(frame.length);
        expect(toWireMessage(view.toMessage())).toEqual(wire.MCPMessage.decode(frame.subarray(8)));
        expect(view.controlKind).toBe(message.control?.kind);
        expect({
          id: view.id,
          type: view.type,
          payload: view.payload,
          deviceId: view.deviceId,
          contentType: view.contentType,
          traceparent: view.traceparent,
          version: view.version,
          sequence: view.sequence,
          ttlMs: view.ttlMs,
          sourceTimeUs: view.sourceTimeUs,
          lane: view.laneNumber,
        }).toEqual({
          id: generated.id,
          type: generated.type,
          payload: generated.payload,
          deviceId: generated.deviceId,
          contentType: generated.contentType,
          traceparent: generated.traceparent,
          version: generated.version,
          sequence: generated.sequence,
          ttlMs: generated.ttlMs,
          sourceTimeUs: generated.sourceTimeUs,
          lane: generated.lane,
        });
      }),
      { numRuns: 500 },
    );
  });

  it("takes the last of a repeated field and skips fields it does not know", () => {
    const parts = fc.array(anyMessage, { minLength: 1, maxLength: 3 });
    const unknown = hex("f80701a206021234f9030102030405060708fd0301020304");
    fc.assert(
      fc.property(parts, (messages) => {
        const encoded = messages.map((m) => encodeMcpFrame(m).subarray(8));
        const joined = Buffer.concat(encoded.flatMap((bytes) => [unknown, bytes, unknown]));
        const expected = wire.MCPMessage.decode(joined);
        expect(toWireMessage(viewOf(joined).toMessage())).toEqual(expected);
      }),
    );
  });

  it("skips a known field that has another wire type", () => {
    const bytes = hex("080112001d01020304");
    expect(viewOf(bytes)).toMatchObject({ id: "", type: "", payload: Buffer.alloc(0) });
  });

  it("says that a message is rare only when more than the noted fields is in it", () => {
    const plain = { id: "1", type: "t", payload: hex("00"), sequence: 1, lane: "event", ttlMs: 5 } as const;
    expect(viewOf(encodeMcpFrame(plain).subarray(8)).rare).toBe(false);
    for (const more of [{ replayed: true }, { tracestate: "a=b" }, { control: { kind: "ping" } }] as const) {
      expect(viewOf(encodeMcpFrame({ ...plain, ...more }).subarray(8)).rare).toBe(true);
    }
  });

  it.each([
    ["a length without bytes", "0a"],
    ["a length beyond the end", "0a05616263"],
    ["a length of 4 GB", "1affffffff0f"],
    ["an endless varint", "30ffffffffffffffffffff01"],
    ["a varint cut off", "3080"],
    ["a sequence above 2^53", "30ffffffffffffffffff01"],
    ["a time above 2^53", "59ffffffffffffffff"],
    ["a fixed64 cut off", "5901020304"],
    ["field number 0", "00"],
    ["a group", "0b0c"],
    ["wire type 7", "0f"],
    ["an overlong tag", "8a0000"],
    ["a tag cut off", "a2"],
  ])("refuses %s", (_, bytes) => {
    expect(() => viewOf(hex(bytes))).toThrow(expect.objectContaining({ code: "contract.bad_frame" }));
  });

  it("refuses a broken nested message when it is asked for", () => {
    for (const bytes of ["22020a05", "a201020a05", "520210ff", "b2010100"]) {
      expect(() => viewOf(hex(bytes)).toMessage()).toThrow(
        expect.objectContaining({ code: "contract.bad_frame" }),
      );
    }
  });

  it("looks at no byte behind its range", () => {
    fc.assert(
      fc.property(anyMessage, fc.uint8Array({ maxLength: 9 }), fc.nat(), (message, behind, cut) => {
        const body = encodeMcpFrame(message).subarray(8);
        const end = cut % (body.length + 1);
        const outcome = (bytes: Buffer) => {
          const view = new McpMessageView();
          try {
            view.read(bytes, 0, end);
            return view.toMessage();
          } catch (error) {
            return AppError.from(error).code;
          }
        };
        const alone = outcome(Buffer.from(body.subarray(0, end)));
        expect(outcome(Buffer.concat([body.subarray(0, end), behind, body.subarray(end)]))).toEqual(alone);
      }),
      { numRuns: 500 },
    );
  });

  it("throws nothing but contract.bad_frame for mutated and random bytes", () => {
    const mutated = fc
      .tuple(anyMessage, fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 }))
      .map(([message, changes]) => {
        const body = Buffer.from(encodeMcpFrame(message).subarray(8));
        for (const [at, byte] of changes) if (body.length > 0) body[at % body.length] = byte;
        return body;
      });
    fc.assert(
      fc.property(
        fc.oneof(
          mutated,
          fc.uint8Array({ maxLength: 60 }).map((b) => Buffer.from(b)),
        ),
        (bytes) => {
          try {
            viewOf(bytes).toMessage();
          } catch (error) {
            expect(AppError.is(error) && error.code).toBe("contract.bad_frame");
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

describe("decodeMcpDatagram", () => {
  it("reads back every control message", () => {
    fc.assert(
      fc.property(anyControl, (control) => {
        expect(decodeMcpDatagram(encodeMcpFrame({ control })).control).toMatchObject(control);
      }),
    );
  });

  it.each([
    ["nothing", "", "contract.bad_frame"],
    ["less than a header", "4d4350010000", "contract.bad_frame"],
    ["another magic", "4d43500200000000", "contract.bad_frame"],
    ["a length beyond the datagram", "4d43500100000002ff", "contract.bad_frame"],
    ["bytes behind the frame", "4d4350010000000000", "contract.bad_frame"],
    ["a length of 4 GB", "4d435001ffffffff", "contract.frame_too_large"],
  ])("refuses %s", (_, bytes, code) => {
    expect(() => decodeMcpDatagram(hex(bytes))).toThrow(expect.objectContaining({ code }));
  });
});

describe("encodeMcpFrame", () => {
  it.each([{ sequence: -1 }, { sequence: 1.5 }, { ttlMs: 2 ** 32 }, { sourceTimeUs: Number.NaN }])(
    "refuses %j",
    (message) => {
      expect(() => encodeMcpFrame(message)).toThrow(expect.objectContaining({ code: "contract.bad_frame" }));
    },
  );
});
