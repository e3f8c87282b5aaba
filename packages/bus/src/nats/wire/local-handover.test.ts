import { expect, it } from "vitest";
import { LocalHandover } from "./local-handover.js";

const bytes = (text: string): Uint8Array => Buffer.from(text);

it("hands over in order, after the publisher's turn, to every subscriber", async () => {
  const local = new LocalHandover();
  const got: string[] = [];
  local.add("a", (data) => got.push(`1 ${data}`));
  const end = local.add("a", (data) => got.push(`2 ${data}`));
  expect(local.publish("a", bytes("x"))).toBe(true);
  expect(local.publish("a", bytes("y"))).toBe(true);
  expect(got).toEqual([]);
  await Promise.resolve();
  expect(got).toEqual(["1 x", "2 x", "1 y", "2 y"]);
  end();
  local.publish("a", bytes("z"));
  await Promise.resolve();
  expect(got.slice(4)).toEqual(["1 z"]);
});

it("leaves to NATS what nobody here subscribes to", () => {
  const local = new LocalHandover();
  const end = local.add("a", () => undefined);
  end();
  expect(local.publish("a", bytes("x"))).toBe(false);
  expect(local.publish("b", bytes("x"))).toBe(false);
});

it("keeps the order when a handler publishes", async () => {
  const local = new LocalHandover();
  const got: string[] = [];
  local.add("a", (data) => {
    got.push(String(data));
    if (got.length < 3) local.publish("a", bytes(`again ${got.length}`));
  });
  local.publish("a", bytes("first"));
  local.publish("a", bytes("second"));
  await new Promise((resolve) => setImmediate(resolve));
  expect(got).toEqual(["first", "second", "again 1", "again 2"]);
});
