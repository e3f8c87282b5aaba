import { expect, it } from "vitest";
import type { KeptSession } from "../../core/session-home.js";
import { type Beginning, Handshakes, QOS2_BIT } from "./handshakes.js";

/** @param known packet identifiers that began over an earlier connection */
function bridge(known: readonly number[] = []) {
  const stored: string[] = [];
  const receiving: number[] = [];
  const kept = {
    incoming: known.map((packetId) => ({ packetId, id: Buffer.alloc(16), isStored: false })),
    receiving: (packetId: number) => receiving.push(packetId),
    stored: () => {},
    forget: () => {},
  } as unknown as KeptSession;
  const handshakes = new Handshakes(
    kept,
    () => 0,
    (number, { payload }) => stored.push(`${payload}${number >= QOS2_BIT ? "/2" : "/1"}`),
  );
  const message = (text: string) => ({ payload: Buffer.from(text), extras: {} }) as unknown as Beginning;
  return { handshakes, stored, receiving, message };
}

it("stores messages of QoS 1 and 2 in the order in which they came, though each of QoS 2 waits for its record", () => {
  const { handshakes, stored, message } = bridge();
  handshakes.follow(1, message("a"));
  handshakes.begin(2, message("b"));
  handshakes.follow(3, message("c"));
  handshakes.begin(4, message("d"));
  handshakes.follow(5, message("e"));
  expect([stored, handshakes.size, handshakes.waitingBytes]).toEqual([["a/1"], 4, 4]);
  handshakes.recorded(4);
  expect(stored).toEqual(["a/1"]);
  handshakes.recorded(2);
  expect(stored).toEqual(["a/1", "b/2", "c/1", "d/2", "e/1"]);
  expect([handshakes.size, handshakes.waitingBytes]).toEqual([0, 0]);
});

it("stores what began over an earlier connection at once, or behind what waits", () => {
  const { handshakes, stored, receiving, message } = bridge([7, 8]);
  handshakes.begin(7, message("a"));
  handshakes.begin(9, message("b"));
  handshakes.begin(8, message("c"));
  expect([stored, receiving]).toEqual([["a/2"], [9]]);
  handshakes.recorded(9);
  expect(stored).toEqual(["a/2", "b/2", "c/2"]);
});

it("goes on behind a message that the broker has released before it was answered", () => {
  const { handshakes, stored, message } = bridge();
  handshakes.begin(1, message("a"));
  handshakes.follow(2, message("b"));
  handshakes.release(1);
  handshakes.recorded(1);
  expect(stored).toEqual(["a/2", "b/1"]);
});
