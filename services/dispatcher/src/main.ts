/** Runs a dispatcher alone in this process. */
import { runAndExit } from "@myelin/service-host";
import { dispatcherService } from "./service.js";

await runAndExit({
  name: "dispatcher",
  version: "0.1.0",
  services: [dispatcherService],
  foreignSections: ["listener", "ipcBridge"],
});
