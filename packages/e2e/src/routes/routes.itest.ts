import { waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import { type App, type Box, httpPublisher, startApp, startBox } from "../support/index.js";

function route(app: string, extra = ""): string {
  return `apiVersion: myelin.dev/v1alpha1
kind: Route
metadata: { name: line-1 }
spec:
  match: { topics: ["load/#"] }
  targets:
    - app: ${app}
  stop: true
${extra}`;
}

async function problems(box: Box): Promise<string> {
  return JSON.stringify(await box.adminPage("/resources"));
}

const numbers = async (app: App): Promise<number[]> =>
  (await app.received()).map(({ text }) => Number(text.slice(text.lastIndexOf(":") + 1)));

test("a route that is edited while messages flow moves them to another app, and none is lost or doubled", async () => {
  await using box = await startBox();
  // Nothing but the route brings them messages.
  await using first = await startApp(box, { app: "first", filters: [] });
  await using second = await startApp(box, { app: "second", filters: [] });
  await box.writeResource("routes.yaml", route("first"));
  await using device = httpPublisher(box, "press-1");

  for (const app of [first, second, first]) {
    const before = (await app.received()).length;
    await box.writeResource("routes.yaml", route(app === first ? "first" : "second"));
    await waitFor(async () => (await app.received()).length > before, {
      what: `the route to take effect at ${app.process.name}`,
      deadlineMs: 5_000,
    });
    await device.progress(50);
  }
  await device.finish();

  // Acknowledged by the apps, so written down by them.
  const { rows, unaccounted } = await box.settledLedger();
  const all = [...(await numbers(first)), ...(await numbers(second))].sort((a, b) => a - b);
  // What was sent before the first route was in force is kept as unrouted.
  expect(new Set(all).size).toBe(all.length);
  const unrouted = rows.find(({ hop, lane }) => hop === "unrouted" && lane === "event")?.stored ?? 0;
  expect(all.length + unrouted).toBe(device.acknowledged.size);
  expect(unaccounted).toBe(0);
});

test("a broken edit is refused with file, path, value and rule, and the old route keeps working", async () => {
  await using box = await startBox();
  await using app = await startApp(box, { app: "first", filters: [] });
  await box.writeResource("routes.yaml", route("first"));
  await using device = httpPublisher(box, "press-1");
  await waitFor(async () => (await app.received()).length > 0, { what: "the route to take effect" });

  await box.writeResource("routes.yaml", route("first", "  order: soon\n"));
  const refusal = await waitFor(
    async () => {
      const text = await problems(box);
      return text.includes("routes.yaml") && text.includes("soon") ? text : undefined;
    },
    { what: "the refusal on the admin page" },
  );
  expect(JSON.parse(refusal)).toMatchObject([
    {
      name: "line-1",
      state: "stale",
      problems: [
        { source: "routes.yaml", line: 9, path: "spec.order", rule: "a whole number from 0 to 1000000" },
      ],
    },
  ]);

  const before = (await app.received()).length;
  await device.progress(50);
  await waitFor(async () => (await app.received()).length >= before + 50, {
    what: "messages by the old route",
  });

  await box.writeResource("routes.yaml", route("first", "  order: 7\n"));
  await waitFor(async () => !(await problems(box)).includes("soon"), {
    what: "the page to forget the refusal",
  });
});
