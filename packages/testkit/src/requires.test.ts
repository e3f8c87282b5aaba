import { afterEach, expect, test, vi } from "vitest";
import { requires } from "./requires.js";

afterEach(() => vi.unstubAllEnvs());

test("skips and tells which hardware is missing when the variable is unset or empty", () => {
  vi.stubEnv("TEST_SERIAL_PORT", "");
  expect(requires.hardware("TEST_SERIAL_PORT")).toEqual({
    skip: true,
    meta: { lacks: { kind: "hardware", name: "TEST_SERIAL_PORT" } },
  });
});

test("runs the test when the hardware is named", () => {
  vi.stubEnv("TEST_SERIAL_PORT", "/dev/ttyUSB0");
  expect(requires.hardware("TEST_SERIAL_PORT")).toEqual({ skip: false, meta: {} });
});

test("looks programs up on PATH", () => {
  expect(requires.program("sh")).toEqual({ skip: false, meta: {} });
  expect(requires.program("no-such-program")).toEqual({
    skip: true,
    meta: { lacks: { kind: "program", name: "no-such-program" } },
  });
});
