import { describe, expect, it } from "vitest";
import { startControlled } from "./controlled.js";

function child(script: string, readyMs = 5_000) {
  return startControlled({ name: "child", command: process.execPath, args: ["-e", script], readyMs });
}

const ANSWERING = `
  const say = (event, more) => console.log(JSON.stringify({ event, ...more }));
  say("ready");
  require("node:readline").createInterface({ input: process.stdin })
    .on("line", (line) => { if (line === "stop") { say("done", { n: 2 }); process.exit(); } say(line, { n: 1 }); });
`;

describe("startControlled", () => {
  it("asks, stops, and stops again with the same report", async () => {
    await using one = await child(ANSWERING);
    expect(await one.snapshot()).toEqual({ event: "snapshot", n: 1 });
    expect(await one.stop()).toEqual({ event: "done", n: 2 });
    expect(await one.stop()).toEqual({ event: "done", n: 2 });
  });

  it("says what a child wrote that ended too early", async () => {
    const failed = child("console.error('no luck'); process.exit(3)");
    await expect(failed).rejects.toMatchObject({ code: "setup.process_failed", message: /no luck/ });
  });

  it("ends a child that does not get ready in time", async () => {
    await expect(child("setInterval(() => {}, 1000)", 200)).rejects.toMatchObject({
      code: "operation.timeout",
    });
  });

  it("reports a command that does not exist", async () => {
    const failed = startControlled({ name: "x", command: "/nowhere/x", args: [] });
    await expect(failed).rejects.toMatchObject({ code: "setup.process_failed", message: /ENOENT/ });
  });
});
