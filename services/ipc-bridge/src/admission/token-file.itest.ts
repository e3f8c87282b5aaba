import { createHash } from "node:crypto";
import { rm, writeFile } from "node:fs/promises";
import { app } from "@myelin/contract";
import { tempDir } from "@myelin/testkit";
import { describe, expect, it } from "vitest";
import { parseTokens, TokenFileAdmission } from "./token-file.js";

const digest = (token: string): string => createHash("sha256").update(token).digest("hex");
const hello = (name: string, token = ""): app.AppHello => app.AppHello.create({ app: name, token });
const local = { address: "unix", local: true };
const remote = { address: "10.0.0.1:5", local: false };

describe("TokenFileAdmission", () => {
  it("trusts local peers, unless told not to", async () => {
    await new TokenFileAdmission({ file: undefined, trustLocal: true }).admit(hello("a"), local);
    const strict = new TokenFileAdmission({ file: undefined, trustLocal: false });
    await expect(strict.admit(hello("a"), local)).rejects.toMatchObject({ code: "auth.bad_credentials" });
  });

  it("asks others for the app's token, takes edits at once, and keeps the last good file", async () => {
    await using dir = await tempDir("tokens");
    const file = dir.join("tokens");
    await writeFile(file, `# apps\na:${digest("secret")}\n*:${digest("master")}\n`);
    const admission = new TokenFileAdmission({ file, trustLocal: true });
    await admission.admit(hello("a", "secret"), remote);
    await admission.admit(hello("b", "master"), remote);
    for (const [name, token] of [
      ["b", "secret"],
      ["a", ""],
      ["a", "other"],
    ] as const) {
      await expect(admission.admit(hello(name, token), remote)).rejects.toMatchObject({
        code: "auth.bad_credentials",
      });
    }
    await writeFile(file, `a:${digest("new")}\n`);
    await admission.admit(hello("a", "new"), remote);
    await expect(admission.admit(hello("a", "secret"), remote)).rejects.toMatchObject({
      code: "auth.bad_credentials",
    });
    await writeFile(file, "broken");
    await admission.admit(hello("a", "new"), remote);
    await rm(file);
    await admission.admit(hello("a", "new"), remote);
  });

  it("lets nobody remote in while its file was never readable", async () => {
    const admission = new TokenFileAdmission({ file: "/nonexistent", trustLocal: true });
    await expect(admission.admit(hello("a", "x"), remote)).rejects.toMatchObject({
      code: "auth.not_authorized",
    });
  });

  it("names the line that is no token", () => {
    expect(() => parseTokens(`a:${digest("x")}\n\nb:short\n`)).toThrow("line 3");
  });
});
