/** Runs the target that the guide "Add a target of routes" builds, as its reader would have it. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type IncomingMessage } from "node:http";
import type { AddressInfo } from "node:net";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import type { Resource, Snapshot } from "@myelin/config";
import { waitFor } from "@myelin/testkit";
import { expect, it } from "vitest";
import { targets } from "../src/targets/registry.js";
import { PARTITIONS, TestBox } from "./support/box.js";

const GUIDE = new URL("../../../docs/how-to/add-a-target.md", import.meta.url);
/** Neither in git nor among the sources that other tests look at. */
const FOLDER = new URL("../dist/guide/", import.meta.url);
const CODE = /^`services\/dispatcher\/src\/targets\/(webhook\/[\w.-]+)`\n\n```ts\n([\s\S]*?)^```/gm;

/** Writes the guide's files and gives the registry its line for them. */
function addWebhook(): void {
  rmSync(FOLDER, { recursive: true, force: true });
  for (const [, path = "", code = ""] of readFileSync(GUIDE, "utf8").matchAll(CODE)) {
    const file = new URL(path, FOLDER);
    mkdirSync(dirname(fileURLToPath(file)), { recursive: true });
    const moved = code
      .replaceAll('"../../core/', '"../../../src/core/')
      .replaceAll('"../target.js"', '"../../../src/targets/target.js"');
    writeFileSync(file, moved);
  }
  Object.assign(targets, { webhook: () => import(new URL("webhook/index.ts", FOLDER).href) });
}

function toWebhook(url: string): Snapshot {
  const spec = { order: 100, match: {}, stop: false, targets: [{ webhook: url }] };
  const resource = { apiVersion: "myelin.dev/v1alpha1", kind: "Route", metadata: { name: "hook" }, spec };
  return { revision: 1, resources: [resource as unknown as Resource<"Route">] };
}

async function textOf(request: IncomingMessage): Promise<string> {
  let text = "";
  for await (const piece of request.setEncoding("utf8")) text += piece;
  return text;
}

it("the target of the guide posts, tries again what could not be taken, and counts what nobody wants", async () => {
  addWebhook();
  const taken: string[] = [];
  let refusals = 2;
  const receiver = createServer(async (request, response) => {
    const text = await textOf(request);
    if (refusals > 0) {
      refusals -= 1;
      response.writeHead(503).end();
    } else if (text === "bad") response.writeHead(400).end();
    else {
      taken.push(`${request.headers["myelin-device"]} ${request.headers["myelin-path"]} ${text}`);
      response.writeHead(204).end();
    }
  });
  await new Promise<void>((resolve) => {
    receiver.listen(0, "127.0.0.1", resolve);
  });
  const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
  try {
    await using box = await TestBox.open();
    const dispatcher = await box.dispatcher("dispatcher-0");
    await dispatcher.applyResources(toWebhook(url));
    await waitFor(() => dispatcher.core.partitions.size === PARTITIONS, {
      what: "the partitions",
      deadlineMs: 15_000,
    });
    const producer = await box.producer();
    for (const text of ["1", "bad", "2"]) await producer.event("d", "readings/temp", text);
    await waitFor(() => taken.length === 2, { what: "both good events", deadlineMs: 15_000 });
    expect(taken).toEqual(["d readings%2Ftemp 1", "d readings%2Ftemp 2"]);
    const books = (["fanout", "drain"] as const).map((hop) =>
      dispatcher.core.ledger.account(hop, "event", `webhook:${url}`),
    );
    await waitFor(() => books.reduce((sum, one) => sum + one.forwarded, 0) === 2, { what: "the books" });
    expect(books.reduce((sum, one) => sum + (one.dropped.get("target_error") ?? 0), 0)).toBe(1);
  } finally {
    receiver.closeAllConnections();
    receiver.close();
  }
});
