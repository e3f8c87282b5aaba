import { expect, test } from "vitest";
import { Progress } from "./progress.js";
import { Summary, summaryLines } from "./summary.js";

function target(isTTY: boolean): { isTTY: boolean; texts: string[]; write(text: string): void } {
  const texts: string[] = [];
  return { isTTY, texts, write: (text) => void texts.push(text) };
}

test("draws one line again and again on a terminal", () => {
  const terminal = target(true);
  const progress = new Progress(terminal, 200);
  progress.show(1, 1);
  progress.show(100, 2);
  progress.end();
  expect(terminal.texts).toHaveLength(3);
  expect(terminal.texts[1]).toBe(
    `\r\u001b[K${"█".repeat(15)}${"░".repeat(15)}  50 %  100 of 200 readings at the app, 50/s`,
  );
  expect(terminal.texts[2]).toBe("\n");
});

test("writes a line for each tenth elsewhere", () => {
  const file = target(false);
  const progress = new Progress(file, 1000);
  for (let count = 0; count <= 1000; count += 5) progress.show(count, 1);
  progress.end();
  expect(file.texts).toHaveLength(10);
  expect(file.texts[9]).toBe("100 %  1,000 of 1,000 readings at the app, 1,000/s\n");
});

test("counts a reading once, and knows the coldest, the warmest and the hours of each protocol", () => {
  const summary = new Summary();
  summary.add("tcp", "a", "2010-01-01T02:00:00.000Z", 4);
  summary.add("tcp", "a", "2010-01-01T01:00:00.000Z", -1.5);
  summary.add("tcp", "a", "2010-01-01T01:00:00.000Z", -1.5);
  summary.add("mqtt", "b", "2010-01-01T01:00:00.000Z", 20);
  expect(summary.count).toBe(3);
  expect(summaryLines(summary.rows()).slice(1)).toEqual([
    "  mqtt              1   20.0 °C   20.0 °C   2010-01-01T01:00 to 2010-01-01T01:00",
    "  tcp               2   -1.5 °C    4.0 °C   2010-01-01T01:00 to 2010-01-01T02:00",
  ]);
});
