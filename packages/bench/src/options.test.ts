import { describe, expect, it } from "vitest";
import { parseOptions, usage } from "./options.js";

const known = { scenarios: ["telemetry", "events"], systems: ["mosquitto", "aedes"] };

describe("parseOptions", () => {
  it("runs everything with the settings of the goals when nothing is asked for", () => {
    expect(parseOptions([], known)).toMatchObject({
      scenarios: ["telemetry", "events"],
      systems: ["mosquitto", "aedes"],
      connections: 50,
      payloadBytes: 64,
      rounds: undefined,
      json: false,
    });
  });

  it("takes names and numbers", () => {
    const args = [
      "events",
      "--json",
      "--systems",
      "aedes",
      "--seconds",
      "2.5",
      "--rounds",
      "1",
      "--connections",
      "7",
    ];
    expect(parseOptions(args, known)).toMatchObject({
      scenarios: ["events"],
      systems: ["aedes"],
      seconds: 2.5,
      rounds: 1,
      connections: 7,
      json: true,
    });
  });

  it.each([
    [["speed"], 'unknown scenario "speed"; there are telemetry, events'],
    [["--systems", "aedes,emqx"], 'unknown system "emqx"; there are mosquitto, aedes'],
    [["--seconds", "soon"], '--seconds wants a number of at least 1, not "soon"'],
    [["--connections", "0"], '--connections wants a number of at least 1, not "0"'],
    [["--payload", "8"], '--payload wants a number of at least 48, not "8"'],
  ])("refuses %j in one sentence", (args, message) => {
    expect(() => parseOptions(args, known)).toThrow(message);
  });

  it("refuses an option it does not know", () => {
    expect(() => parseOptions(["--fast"], known)).toThrow("--fast");
  });
});

it("names every scenario and system in the usage", () => {
  for (const name of [...known.scenarios, ...known.systems]) expect(usage(known)).toContain(name);
});
