import { object, settingsTable } from "@myelin/config";
import { dispatcherService } from "@myelin/dispatcher";
import { hardwareAgentService } from "@myelin/hardware-agent";
import { ipcBridgeService } from "@myelin/ipc-bridge";
import { listenerService } from "@myelin/listener";
import { platformSections } from "@myelin/service-host";
import { code, page } from "./page.js";

/** Every setting of every service with its variable. */
export async function settingsPage(): Promise<string> {
  const services = [await listenerService(), dispatcherService, ipcBridgeService, hardwareAgentService];
  return page("Settings", "the schemas of the services", [
    "Defaults come first, then the file given with `--config`, then environment variables. A key or variable that does not",
    "exist, or a bad value, stops the start; all problems are listed at once and the process exits with 78.",
    "How to use them: [run services apart](../how-to/run-apart.md).",
    "",
    "In a variable, a list is written with commas or as JSON, a mapping as JSON. `<name>` stands for a name you choose, in a",
    "variable in capitals.",
    "",
    "## Every process",
    "",
    settingsTable(object(platformSections), { environment: true }),
    ...services.flatMap(({ name, section, schema }) => [
      `## ${name}`,
      "",
      `Section ${code(section)}.`,
      "",
      settingsTable(schema, { environment: true, prefix: [section] }),
    ]),
  ]);
}
