import { describe, expect, it } from "vitest";
import { LastWords } from "./last-words.js";

function complaintIn(...chunks: readonly string[]): string | undefined {
  const words = new LastWords();
  for (const chunk of chunks) words.add(Buffer.from(chunk));
  return words.complaint();
}

describe("the last words of a process", () => {
  it.each([
    ['{"level":"fatal","msg":"cannot start","err":{"message":"no room\\nat x"}}\n', "no room"],
    [
      '{"level":"warn","msg":"will try again","problem":"it is full"}\n{"level":"info","msg":"x"}\n',
      "it is full",
    ],
    ['{"level":"error","msg":"a"}\n{"level":"error","msg":"b"}\n', "b"],
    [
      "[7] 2026/01/01 [INF] Starting\n[7] 2026/01/01 [FTL] Can't start JetStream: no\n",
      "Can't start JetStream: no",
    ],
    [
      'listener: the configuration has 1 problem\n  protocols.mqtt.mqtt.port: "x" must be a number (environment variable X)\n',
      'protocols.mqtt.mqtt.port: "x" must be a number (environment variable X)',
    ],
    ["all is well\n", undefined],
    ["{broken\n", undefined],
    ["", undefined],
  ])("of %j are %j", (text, complaint) => {
    expect(complaintIn(text)).toBe(complaint);
  });

  it("may come in any pieces", () => {
    const line = Buffer.from('{"level":"fatal","msg":"zu spät"}\n');
    const words = new LastWords();
    for (const byte of line) words.add(Buffer.from([byte]));
    expect(words.complaint()).toBe("zu spät");
  });

  it("are the end of much", () => {
    expect(complaintIn('{"level":"fatal","msg":"early"}\n', "x".repeat(20_000))).toBeUndefined();
    expect(complaintIn("x".repeat(20_000), '\n{"level":"fatal","msg":"late"}\n')).toBe("late");
  });
});
