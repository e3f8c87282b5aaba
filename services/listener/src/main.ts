/** Starts one listener in this process. */
import { readFileSync } from "node:fs";
import { runAndExit } from "@myelin/service-host";
import { listenerService } from "./hosted.js";

const { version } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
  version: string;
};

await runAndExit({ name: "listener", version, services: [await listenerService()] });
