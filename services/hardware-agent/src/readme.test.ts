import { readFileSync } from "node:fs";
import { settingsTable } from "@myelin/config";
import { expect, it } from "vitest";
import { agentSchema } from "./config.js";

const README = new URL("../README.md", import.meta.url);

it("the README ends with the table of all settings", async () => {
  const text = readFileSync(README, "utf8");
  const [before] = text.split(/(?<=writes it anew\. -->\n)/) as [string];
  const table = settingsTable(agentSchema, { environment: true, prefix: ["hardwareAgent"] });
  await expect(`${before}\n${table}`).toMatchFileSnapshot(README.pathname);
});
