import { createSocket } from "node:dgram";
import { describe, expect, it } from "vitest";
import { DatagramStream, sendDatagram } from "./datagram-stream.js";

describe("a datagram that cannot be sent", () => {
  it.each([
    ["to port 0", 0],
    ["to a port beyond the last", 65_536],
  ])("%s is lost without an error", (_, port) => {
    const socket = createSocket("udp4");
    const stream = new DatagramStream(
      socket,
      "127.0.0.1",
      port,
      () => true,
      () => {},
    );
    expect(stream.write(Buffer.from("x"))).toBe(true);
    socket.close();
  });

  it("because its socket is closed is lost without an error", () => {
    const socket = createSocket("udp4");
    socket.close();
    expect(() => sendDatagram(socket, Buffer.from("x"), 9, "127.0.0.1")).not.toThrow();
  });
});
