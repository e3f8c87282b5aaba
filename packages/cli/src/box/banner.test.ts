import { stripVTControlCharacters } from "node:util";
import { describe, expect, it } from "vitest";
import { banner } from "./banner.js";
import { boxLayout, boxPorts } from "./layout.js";
import type { Durability } from "./nats-conf.js";

function text(portOffset: number, durability: Durability, dataDir = ".myelin"): string {
  const box = {
    pid: 1,
    startedAt: "",
    version: "0",
    ports: boxPorts(portOffset),
    natsUrl: "",
    natsTokenFile: "",
    natsVersion: "2.15.0",
    appSocket: "",
    processes: [],
  };
  const lines = banner(box, { layout: boxLayout(dataDir), durability }, "./bin/myelin", 480);
  return stripVTControlCharacters(lines.join("\n"));
}

describe("the banner", () => {
  it("gives a line to copy for each protocol, with the port in use", () => {
    const shown = text(1000, "strict");
    for (const example of [
      "mosquitto_pub -p 2883",
      "localhost:9080/api/v1/devices/d1/messages/",
      "ws://localhost:9080/api/v1/devices/d1/ws",
      "nc -q1 localhost 8401",
      "nc -u -w1 localhost 8400",
      "10090",
      "localhost:10400/metrics",
    ]) {
      expect(shown).toContain(example);
    }
  });

  it("names the commands that reach this box", () => {
    expect(text(0, "strict")).toMatch(/Watch it: \.\/bin\/myelin tail {2}.*ledger {2}/);
    const elsewhere = text(0, "strict", "data");
    expect(elsewhere).toContain("./bin/myelin tail --data-dir data ");
    expect(elsewhere).toContain("./bin/myelin ledger --data-dir data ");
  });

  it("says when events are acknowledged and how long the start took", () => {
    expect(text(0, "strict")).toContain(
      "after 0.5 s; nats-server 2.15.0, events are acknowledged after fsync",
    );
    expect(text(0, "balanced")).toContain("events are acknowledged before fsync");
  });
});
