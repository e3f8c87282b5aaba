import { describe, expect, it } from "vitest";
import { ADMIN_PORT_OF_AGENT, BOX_PORTS, boxLayout, boxPorts, PORT_OFFSETS } from "./layout.js";

describe("the ports of a box", () => {
  it("are all moved by the offset", () => {
    expect(boxPorts(1000)).toEqual({
      http: 9080,
      mqtt: 2883,
      grpc: 10090,
      mcpTcp: 8400,
      mcpUdp: 8400,
      lines: 8401,
      auto: 8443,
      nats: 5222,
      natsMonitor: 9222,
      admin: 10400,
    });
    expect(boxPorts(0)).toEqual(BOX_PORTS);
  });

  it("stay ports with the lowest and the highest offset", () => {
    expect(Math.min(...Object.values(boxPorts(PORT_OFFSETS.lowest)))).toBe(1);
    expect(boxPorts(PORT_OFFSETS.highest).admin + ADMIN_PORT_OF_AGENT).toBe(65_535);
  });

  it("are different from each other, TCP and UDP apart", () => {
    const { mcpUdp: _udp, ...tcp } = BOX_PORTS;
    expect(new Set(Object.values(tcp)).size).toBe(Object.keys(tcp).length);
  });
});

it("keeps everything of a box below its data directory", () => {
  const { root, ...rest } = boxLayout("/srv/box");
  expect(root).toBe("/srv/box");
  expect(Object.values(rest).filter((path) => !path.startsWith("/srv/box/"))).toEqual([]);
});
