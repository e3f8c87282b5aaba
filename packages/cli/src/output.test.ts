import { expect, it } from "vitest";
import { printable } from "./output.js";

it.each([
  ["a\u001b[2Jb", "a\ufffd[2Jb"],
  ["a\r\nb\u009b", "a\ufffd\ufffdb\ufffd"],
  ["\u202egnp.exe", "\ufffdgnp.exe"],
  ["zu spät/温度", "zu spät/温度"],
])("shows %j as %j", (text, shown) => {
  expect(printable(text)).toBe(shown);
});
