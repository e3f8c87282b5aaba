import { expect, it } from "vitest";
import { buildDriver } from "./build.js";
import { driverArguments } from "./driver.js";

it("leaves out what is undefined or false and gives bare flags for true", () => {
  const options = { port: 1883, rate: undefined, stamp: true, gather: false, topic: "a/{c}" };
  expect(driverArguments(options)).toEqual(["--port", "1883", "--stamp", "--topic", "a/{c}"]);
});

it("is not built where its means are missing, and says so", async () => {
  await expect(buildDriver("darwin")).rejects.toMatchObject({
    code: "setup.missing_tool",
    message: expect.stringContaining("this is darwin"),
  });
});
