import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { tempDir } from "@myelin/testkit";
import { expect, test } from "vitest";
import { download } from "./download.mjs";
import { unpackRelease } from "./nats-server.mjs";

const TOP = "nats-server-v0.0.0-toy";

/** A host for downloads on this machine. */
async function serve(answer: RequestListener): Promise<AsyncDisposable & { url: string }> {
  const server = createServer(answer);
  await new Promise<void>((resolve) => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/v0.0.0/${TOP}.tar.gz`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** An archive as the project makes them: one folder with the program and what goes with it. */
function archive(folder: string): Buffer {
  mkdirSync(join(folder, TOP));
  writeFileSync(join(folder, TOP, "nats-server"), "#!/bin/sh\necho nats-server: v2.15.0\n", { mode: 0o755 });
  writeFileSync(join(folder, TOP, "LICENSE"), "a licence\n");
  execFileSync("tar", ["-czf", "made.tar.gz", TOP], { cwd: folder });
  return readFileSync(join(folder, "made.tar.gz"));
}

const digest = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

test("unpacks the program of a release with the pinned digest, and nothing else", async () => {
  await using made = await tempDir("release");
  await using into = await tempDir("release");
  const bytes = archive(made.path);
  await using host = await serve((_, response) => void response.end(bytes));
  const file = await unpackRelease({ url: host.url, sha256: digest(bytes) }, into.path);
  expect(execFileSync(file, { encoding: "utf8" })).toBe("nats-server: v2.15.0\n");
  expect(statSync(file).mode & 0o111).not.toBe(0);
  expect(readdirSync(join(into.path, TOP))).toEqual(["nats-server"]);
});

test("refuses a release with another digest before anything of it is unpacked", async () => {
  await using made = await tempDir("release");
  await using into = await tempDir("release");
  const bytes = archive(made.path);
  const changed = Buffer.from(bytes);
  changed[changed.length - 1] = (changed.at(-1) ?? 0) ^ 1;
  await using host = await serve((_, response) => void response.end(changed));
  await expect(unpackRelease({ url: host.url, sha256: digest(bytes) }, into.path)).rejects.toThrow(
    "damaged or not the pinned one",
  );
  expect(readdirSync(into.path)).toEqual([]);
});

test("says who refused, who sends without end, and gives up on who says nothing", async () => {
  await using missing = await serve((_, response) => void response.writeHead(404).end("no"));
  await expect(download({ url: missing.url, sha256: "" }, "it")).rejects.toThrow(
    /^127\.0\.0\.1:\d+ answered 404 for it\.$/,
  );
  await using endless = await serve((_, response) => {
    const more = (): void => {
      while (response.write(Buffer.alloc(65_536)));
    };
    response.on("drain", more);
    more();
  });
  await expect(download({ url: endless.url, sha256: "" }, "it", { maxBytes: 100_000 })).rejects.toThrow(
    "sends more for it than it can be",
  );
  await using silent = await serve(() => undefined);
  await expect(download({ url: silent.url, sha256: "" }, "it", { timeoutMs: 50 })).rejects.toThrow("timeout");
});
