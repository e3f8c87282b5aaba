/** Everything that can be wrong before a box starts, each found and said in one sentence. */
import { AppError, withDeadline } from "@myelin/kernel";
import type { BoxPlan, Report } from "./box.js";
import { claim, runningBox } from "./box-file.js";
import { makeFolders, makeNatsToken } from "./folders.js";
import { checkPorts } from "./free-ports.js";
import type { BoxLayout } from "./layout.js";
import { usableNatsServer } from "./nats-server.js";
import { endOrphans } from "./orphans.js";

/** A disk that takes longer for a few small files hangs. */
const DISK_TIMEOUT_MS = 5_000;

/**
 * Makes sure that a box can start, and ends what an earlier one left behind.
 * @returns the plan with what was learned
 * @throws AppError `setup.*`; after `setup.disk_hangs` a thread of this process may hang for ever
 */
export async function preflight(plan: Omit<BoxPlan, "natsVersion">, report: Report): Promise<BoxPlan> {
  const { layout } = plan;
  await withDeadline(undefined, DISK_TIMEOUT_MS, () => prepareFolders(layout), {
    code: "setup.disk_hangs",
    what: `Making the folder ${layout.root} ready (choose another one with --data-dir)`,
  });
  const natsVersion = await usableNatsServer(plan.natsServer);
  await endOrphans(layout, report);
  await checkPorts(plan.ports, plan.host, plan.workers);
  return { ...plan, natsVersion };
}

async function prepareFolders(layout: BoxLayout): Promise<void> {
  await makeFolders(layout);
  const other = await runningBox(layout);
  if (other !== undefined) {
    throw new AppError(
      "setup.already_running",
      `A box runs on ${layout.root} already (process ${other.pid}, since ${other.startedAt}). ` +
        "End it, or choose another --data-dir and --port-offset.",
      { details: { pid: other.pid } },
    );
  }
  await claim(layout);
  await makeNatsToken(layout);
}
