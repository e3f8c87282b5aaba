import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import {
  app,
  BatchView,
  checkEnvelopeCount,
  decodeAppFrame,
  decodeMcpDatagram,
  encodeMcpFrame,
  envelope,
  escapeToken,
  type McpFrameHandler,
  McpFrameReader,
  mcp,
  unescapeToken,
} from "../src/index.js";
import { toWireMessage } from "../src/mcp/message.js";
import { strictDecode } from "../src/wire/strict-decode.js";
import { readByView, withoutLists } from "./batch-support.js";
import { appVectors } from "./vectors/app.js";
import { batchVectors, envelopeVectors } from "./vectors/envelopes.js";
import { frame, MAX_MESSAGE_BYTES, mcpStreamVectors, mcpVectors, type StreamEvent } from "./vectors/mcp.js";
import { messageTypes, messageVectors } from "./vectors/messages.js";
import { escapingVectors, idVectors, partitionVectors } from "./vectors/names.js";
import { type BadCase, bytes, type Codec, field, type GoodCase } from "./vectors/vector.js";

const FOLDER = fileURLToPath(new URL("../../../proto/vectors/", import.meta.url));

const FILES = {
  "app.json": appVectors(),
  "batch.json": batchVectors(),
  "envelope.json": envelopeVectors(),
  "escaping.json": escapingVectors(),
  "ids.json": idVectors(),
  "mcp-stream.json": mcpStreamVectors(),
  "mcp.json": mcpVectors(),
  "messages.json": messageVectors(),
  "partition.json": partitionVectors(),
};

const codeOf = (run: () => unknown): string => {
  try {
    run();
    return "nothing thrown";
  } catch (error) {
    return AppError.is(error) ? error.code : String(error);
  }
};

function checkGenerated<T>(codec: Codec<T>, cases: readonly GoodCase[], unwrap: (b: Buffer) => Buffer): void {
  for (const c of cases) {
    const body = unwrap(bytes(c.bytes));
    const message = codec.decode(body);
    expect(codec.toJSON(message), c.name).toEqual(c.message);
    if (c.canonical) expect(Buffer.from(codec.encode(message).finish()).equals(body), c.name).toBe(true);
  }
}

function checkBad(
  cases: readonly BadCase[],
  read: (b: Buffer) => unknown,
  generated: (b: Buffer) => unknown,
): void {
  for (const c of cases) {
    expect(
      codeOf(() => read(bytes(c.bytes))),
      c.name,
    ).toBe(c.error);
    if (c.plain && c.bytes !== "")
      expect(
        codeOf(() => generated(bytes(c.bytes))),
        c.name,
      ).not.toBe("nothing thrown");
  }
}

describe("the shared test vectors", () => {
  it.each(Object.entries(FILES))("%s holds what the generator makes", async (name, content) => {
    await expect(`${JSON.stringify(content, undefined, 2)}\n`).toMatchFileSnapshot(`${FOLDER}${name}`);
  });

  it("are all made by the generator", () => {
    expect(readdirSync(FOLDER).sort()).toEqual([...Object.keys(FILES), "README.md"].sort());
  });

  it("of envelopes hold for generated code and for the view", () => {
    const { good, bad } = FILES["envelope.json"];
    const hop = Buffer.from(
      envelope.Batch.encode(envelope.Batch.fromPartial({ origin: {}, hop: { count: 1 } })).finish(),
    );
    const view = (body: Buffer): BatchView => {
      const v = new BatchView().reset(Buffer.concat([hop, field(0x1a, body)]));
      v.next();
      return v;
    };
    checkGenerated(envelope.Envelope, good, (b) => b);
    for (const c of good) {
      const decoded = withoutLists(envelope.Envelope.decode(bytes(c.bytes)));
      expect(readByView(view(bytes(c.bytes))), c.name).toEqual(decoded);
    }
    checkBad(
      bad,
      (b) => readByView(view(b)),
      (b) => strict(envelope.Envelope, b),
    );
  });

  it("of batches hold for generated code and for the view", () => {
    const { good, bad } = FILES["batch.json"];
    checkGenerated(envelope.Batch, good, (b) => b);
    for (const c of good) {
      const view = new BatchView().reset(bytes(c.bytes));
      const decoded = envelope.Batch.decode(bytes(c.bytes));
      expect(view.hop, c.name).toEqual(decoded.hop);
      const seen = [];
      while (view.next()) seen.push(readByView(view));
      expect(seen, c.name).toEqual(decoded.envelopes.map(withoutLists));
    }
    const readAll = (b: Buffer): void => {
      const view = new BatchView().reset(b);
      while (view.next()) readByView(view);
      checkEnvelopeCount(view);
    };
    checkBad(bad, readAll, (b) => strict(envelope.Batch, b));
  });

  it("of MCP frames hold for generated code and for the codec", () => {
    const { good, bad } = FILES["mcp.json"];
    checkGenerated(mcp.MCPMessage, good, (b) => b.subarray(8));
    for (const c of good) {
      const message = decodeMcpDatagram(bytes(c.bytes));
      expect(mcp.MCPMessage.toJSON(toWireMessage(message)), c.name).toEqual(c.message);
      if (c.canonical) expect(encodeMcpFrame(message).equals(bytes(c.bytes)), c.name).toBe(true);
    }
    checkBad(
      bad,
      (b) => decodeMcpDatagram(b, { maxMessageBytes: MAX_MESSAGE_BYTES }),
      (b) => {
        const body = b.subarray(8);
        if (!frame(body).equals(b)) throw new RangeError("no frame");
        strict(mcp.MCPMessage, body);
      },
    );
  });

  it("of MCP streams hold for the reader, in pieces of any size", () => {
    for (const c of FILES["mcp-stream.json"].streams) {
      const data = bytes(c.bytes);
      for (const step of [1, 3, 7, data.length]) {
        const events: StreamEvent[] = [];
        const handler: McpFrameHandler = {
          onMessage: (view) => void events.push({ type: view.type }),
          onError: (error) => void events.push({ error: error.code }),
          onSkipped: (skipped) => {
            const last = events.at(-1);
            if (last !== undefined && "skipped" in last)
              events[events.length - 1] = { skipped: last.skipped + skipped };
            else events.push({ skipped });
          },
        };
        const reader = new McpFrameReader(handler, { maxMessageBytes: MAX_MESSAGE_BYTES });
        for (let at = 0; at < data.length; at += step) reader.push(data.subarray(at, at + step));
        expect(events, `${c.name} by ${step}`).toEqual(c.events);
        expect(reader.pendingBytes, `${c.name} by ${step}`).toBe(c.pending);
      }
    }
  });

  it("of app frames hold for generated code", () => {
    const { good, bad } = FILES["app.json"];
    const unwrap = (b: Buffer): Buffer => {
      expect(b.readUInt32BE(0)).toBe(b.length - 4);
      return b.subarray(4);
    };
    checkGenerated(app.AppFrame, good, unwrap);
    for (const c of good) expect(decodeAppFrame(unwrap(bytes(c.bytes)))).toBeDefined();
    checkBad(
      bad,
      (b) => decodeAppFrame(b.subarray(4)),
      (b) => {
        if (app.AppFrame.decode(b.subarray(4)).frame === undefined) throw new RangeError("no frame");
      },
    );
  });

  it.each(messageTypes().map(({ type, codec }) => [type.fullName.slice(1), type, codec] as const))(
    "of %s by itself hold for generated code, with every field set",
    (name, type, codec) => {
      const vectors = FILES["messages.json"].messages.find((one) => one.message === name);
      const { good = [], bad = [] } = vectors ?? {};
      checkGenerated(codec, good, (b) => b);
      const seen = new Set(good.flatMap((c) => Object.keys(c.message as object)));
      expect(type.fieldsArray.map((one) => one.name).filter((one) => !seen.has(one))).toEqual([]);
      expect(bad.length).toBeGreaterThan(5);
      for (const c of bad) {
        expect(() => strictDecode(codec, bytes(c.bytes)), c.name).toThrow();
        if (c.plain) expect(() => codec.decode(bytes(c.bytes)), c.name).toThrow();
      }
    },
  );

  it("name every message that stands in a .proto file", () => {
    const folder = fileURLToPath(new URL("../../../proto/", import.meta.url));
    const declared = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".proto"))
      .flatMap((path) => {
        const text = readFileSync(`${folder}${path}`, "utf8");
        const area = /^package (\S+);/m.exec(text)?.[1];
        return [...text.matchAll(/^\s*message (\w+)/gm)].map(([, message]) => `${area}.${message}`);
      });
    expect(declared.length).toBeGreaterThan(30);
    expect(FILES["messages.json"].messages.map(({ message }) => message).sort()).toEqual(declared.sort());
  });

  it("of tokens hold both ways", () => {
    const { good, bad_texts, bad_tokens } = FILES["escaping.json"];
    for (const { text, token } of good)
      expect([escapeToken(text), unescapeToken(token)]).toEqual([token, text]);
    for (const { text, error } of bad_texts) expect(codeOf(() => escapeToken(text))).toBe(error);
    for (const token of bad_tokens) expect(unescapeToken(token), token).toBeUndefined();
  });
});

/** Generated code, made to complain about what it leaves unread. */
function strict<T>(codec: Codec<T>, body: Buffer): void {
  const message = codec.decode(body);
  if (codec.encode(message).finish().length !== body.length)
    throw new RangeError("something was left unread");
}
