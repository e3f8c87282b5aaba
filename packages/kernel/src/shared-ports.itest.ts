import { createServer } from "node:net";
import { expect, it } from "vitest";
import { sharesPorts, usefulWorkers } from "./shared-ports.js";

it("knows where ports can be shared", () => {
  expect((["linux", "freebsd", "darwin", "win32"] as const).map((one) => sharesPorts(one))).toEqual([
    true,
    true,
    false,
    false,
  ]);
});

it("leaves a core to the rest, up to a bound, and starts one worker where ports cannot be shared", () => {
  const on = (platform: NodeJS.Platform) => [1, 2, 4, 64].map((cores) => usefulWorkers(cores, 16, platform));
  expect(on("linux")).toEqual([1, 1, 3, 16]);
  expect(on("darwin")).toEqual([1, 1, 1, 1]);
});

it("says of this system what listening says", async () => {
  const server = createServer();
  const outcome = await new Promise<boolean>((resolve) => {
    server.once("error", () => resolve(false));
    server.listen({ host: "127.0.0.1", port: 0, reusePort: true }, () => resolve(true));
  });
  server.close();
  expect(outcome).toBe(sharesPorts());
});
