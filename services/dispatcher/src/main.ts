/** Starts one dispatcher in this process. */
import { readFileSync } from "node:fs";
import { runAndExit } from "@myelin/service-host";
import { dispatcherService } from "./hosted.js";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

await runAndExit({ name: "dispatcher", version, services: [dispatcherService] });
