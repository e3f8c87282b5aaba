import type { AppError } from "@myelin/kernel";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { anyMessage } from "../../test/mcp-arbitraries.js";
import { encodeMcpFrame } from "./frame.js";
import { MCP_MAGIC } from "./layout.js";
import type { McpMessage } from "./message.js";
import { type McpFrameHandler, McpFrameReader } from "./reader.js";
import type { McpMessageView } from "./view.js";

class Recorder implements McpFrameHandler {
  readonly messages: McpMessage[] = [];
  readonly codes: string[] = [];
  skipped = 0;
  onMessage(view: McpMessageView): void {
    this.messages.push(view.toMessage());
  }
  onError(error: AppError): void {
    this.codes.push(error.code);
  }
  onSkipped(bytes: number): void {
    expect(bytes).toBeGreaterThan(0);
    this.skipped += bytes;
  }
}

function read(bytes: Buffer, cuts: readonly number[] = [], maxMessageBytes?: number) {
  const recorder = new Recorder();
  const reader = new McpFrameReader(recorder, { maxMessageBytes });
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    reader.push(bytes.subarray(from, cut));
    from = cut;
  }
  return { recorder, reader };
}

const frame = (type: string, payload = "") => encodeMcpFrame({ type, payload: Buffer.from(payload) });
const types = (recorder: Recorder) => recorder.messages.map((m) => m.type);
const everyByte = (bytes: Buffer) => Array.from({ length: Math.max(0, bytes.length - 1) }, (_, i) => i + 1);
const header = (length: number) => {
  const out = Buffer.alloc(8);
  out.set(MCP_MAGIC);
  out.writeUInt32BE(length, 4);
  return out;
};

describe("McpFrameReader", () => {
  it("reads several frames of one chunk, empty messages included", () => {
    const { recorder, reader } = read(Buffer.concat([frame("a", "1"), header(0), frame("b")]));
    expect(types(recorder)).toEqual(["a", "", "b"]);
    expect(recorder).toMatchObject({ codes: [], skipped: 0 });
    expect(reader.pendingBytes).toBe(0);
  });

  it("reads a frame cut at every byte, in two pieces and in pieces of one byte", () => {
    const bytes = Buffer.concat([frame("first", "payload"), header(0), frame("second")]);
    for (const cut of everyByte(bytes)) {
      expect(types(read(bytes, [cut]).recorder)).toEqual(["first", "", "second"]);
    }
    expect(types(read(bytes, everyByte(bytes)).recorder)).toEqual(["first", "", "second"]);
  });

  it.each([
    ["before the first frame", ["xyz", frame("a")], 3],
    ["between frames", [frame("a"), "MCMCPxMCP", frame("b")], 9],
    ["that starts like the magic", ["MCP\x02\0\0\0\x05", frame("a")], 8],
    ["of magic's first bytes repeated", ["MMCMCPMCP", frame("a")], 9],
    ["longer than a header", ["0123456789abcdef".repeat(9), frame("a")], 144],
  ])("finds the next magic after garbage %s, however it is cut", (_, parts, skipped) => {
    const bytes = Buffer.concat(parts.map((p) => (typeof p === "string" ? Buffer.from(p) : p)));
    const expected = parts.filter((p) => typeof p !== "string").length;
    for (const cuts of [[], everyByte(bytes), ...everyByte(bytes).map((cut) => [cut])]) {
      const { recorder, reader } = read(bytes, cuts);
      expect(recorder.messages).toHaveLength(expected);
      expect(recorder).toMatchObject({ skipped, codes: [] });
      expect(reader.pendingBytes).toBe(0);
    }
  });

  it.each([[0xffff_ffff], [0x8000_0000], [11]])(
    "refuses an announced length of %i without keeping a byte for it and goes on at the next magic",
    (length) => {
      const bytes = Buffer.concat([header(length), Buffer.from("tail"), frame("b", "x")]);
      for (const cuts of [[], everyByte(bytes)]) {
        const { recorder } = read(bytes, cuts, 10);
        expect(types(recorder)).toEqual(["b"]);
        expect(recorder.codes).toEqual(["contract.frame_too_large"]);
        expect(recorder.skipped).toBe(12);
      }
      const { reader } = read(header(length), [], 10);
      expect(reader.pendingBytes).toBe(0);
    },
  );

  it("takes a message of exactly the limit", () => {
    const bytes = frame("abc", "12345");
    expect(types(read(bytes, [], bytes.length - 8).recorder)).toEqual(["abc"]);
    expect(read(bytes, [], bytes.length - 9).recorder.codes).toEqual(["contract.frame_too_large"]);
  });

  it("reports a broken message and goes on behind its frame", () => {
    const broken = Buffer.concat([header(2), Buffer.from([0x0a, 0x7f])]);
    const bytes = Buffer.concat([frame("a"), broken, frame("b")]);
    for (const cuts of [[], everyByte(bytes)]) {
      const { recorder } = read(bytes, cuts);
      expect(types(recorder)).toEqual(["a", "b"]);
      expect(recorder).toMatchObject({ codes: ["contract.bad_frame"], skipped: 0 });
    }
  });

  it("drops everything once it was stopped by its handler", () => {
    const recorder = new Recorder();
    const reader = new McpFrameReader({
      onMessage(view) {
        recorder.onMessage(view);
        reader.stop();
      },
      onError: (e) => recorder.onError(e),
      onSkipped: (n) => recorder.onSkipped(n),
    });
    reader.push(Buffer.concat([frame("a"), frame("b"), Buffer.from("MCP")]));
    reader.push(frame("c"));
    expect(types(recorder)).toEqual(["a"]);
    expect(reader.pendingBytes).toBe(0);
  });

  it("forgets a frame that has begun when it is reset", () => {
    const { recorder, reader } = read(frame("lost").subarray(0, 11));
    reader.reset();
    reader.push(frame("b"));
    expect(types(recorder)).toEqual(["b"]);
  });

  it("gives the same messages whatever the chunks are", () => {
    fc.assert(
      fc.property(
        fc.array(anyMessage, { maxLength: 5 }),
        fc.array(fc.nat(), { maxLength: 8 }),
        (messages, cuts) => {
          const bytes = Buffer.concat(messages.map(encodeMcpFrame));
          const sorted = cuts.map((c) => c % (bytes.length + 1)).sort((a, b) => a - b);
          const { recorder } = read(bytes, sorted);
          expect(recorder.messages.map(encodeMcpFrame)).toEqual(messages.map(encodeMcpFrame));
          expect(recorder).toMatchObject({ codes: [], skipped: 0 });
        },
      ),
      { numRuns: 300 },
    );
  });

  it("accounts for every byte of random and mutated input, in any pieces, and throws nothing", () => {
    const piece = fc.oneof(
      fc.uint8Array({ maxLength: 12 }).map((b) => Buffer.from(b)),
      fc.constant(Buffer.from(MCP_MAGIC)),
      fc.integer({ min: 0, max: 40 }).map(header),
      fc.nat(0xffff_ffff).map(header),
      anyMessage.map((m) => encodeMcpFrame(m)),
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), fc.infiniteStream(fc.nat(9)), (pieces, steps) => {
        const bytes = Buffer.concat(pieces);
        const cuts: number[] = [];
        for (let at = 1 + steps.next().value; at < bytes.length; at += 1 + steps.next().value) cuts.push(at);
        const whole = read(bytes, [], 1000);
        const cut = read(bytes, cuts, 1000);
        expect(cut.recorder).toEqual(whole.recorder);
        expect(cut.reader.pendingBytes).toBe(whole.reader.pendingBytes);
      }),
      { numRuns: 150 },
    );
  });
});
