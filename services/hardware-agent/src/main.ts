/** Runs one hardware-agent in this process. */
import { readFileSync } from "node:fs";
import { runAndExit } from "@myelin/service-host";
import { hardwareAgentService } from "./hosted.js";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

await runAndExit({
  name: "hardware-agent",
  version,
  services: [hardwareAgentService],
  foreignSections: ["listener", "dispatcher", "ipcBridge"],
});
