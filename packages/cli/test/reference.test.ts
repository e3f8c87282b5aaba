import { describe, expect, it } from "vitest";
import { boxPage } from "./reference/box.js";
import { commandLinePage } from "./reference/command-line.js";
import { metricsPage } from "./reference/metrics.js";
import { resourcesPage } from "./reference/resources.js";
import { settingsPage } from "./reference/settings.js";
import { subjectsPage } from "./reference/subjects.js";

describe("the reference", () => {
  it.each([
    ["settings", settingsPage],
    ["metrics", metricsPage],
    ["command-line", commandLinePage],
    ["subjects", subjectsPage],
    ["resources", resourcesPage],
    ["box", boxPage],
  ])("of %s is what the sources say", async (name, make) => {
    await expect(await make()).toMatchFileSnapshot(`../../../docs/reference/${name}.md`);
  });
});
