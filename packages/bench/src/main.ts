/** The entry of `npm run bench`: results on stdout, everything else on stderr. */
import { AppError } from "@myelin/kernel";
import { openDriver } from "./driver/driver.js";
import { parseOptions, usage } from "./options.js";
import { formatReport, type Report } from "./report/report.js";
import { runScenario } from "./run.js";
import { scenarios } from "./scenarios/registry.js";
import { systems } from "./systems/registry.js";

const known = { scenarios: Object.keys(scenarios), systems: Object.keys(systems) };

function progress(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function main(args: readonly string[]): Promise<void> {
  const options = parseOptions(args, known);
  if (options.help) {
    process.stdout.write(usage(known));
    return;
  }
  const install = options.install || (process.env.CI !== undefined && process.getuid?.() === 0);
  const driver = await openDriver();
  const chosen = await Promise.all(
    options.systems.map(async (name) => (await systems[name as keyof typeof systems]()).plugin),
  );
  const { connections, payloadBytes, seconds, warmUpSeconds, gather, rounds } = options;
  const settings = { connections, payloadBytes, seconds, warmUpSeconds, gather, rounds };
  const reports: Report[] = [];
  for (const name of options.scenarios) {
    const { scenario } = await scenarios[name as keyof typeof scenarios]();
    progress(`${scenario.name}: ${scenario.summary}`);
    const report = await runScenario({ scenario, systems: chosen, driver, settings, install, progress });
    reports.push(report);
    if (!options.json) process.stdout.write(formatReport(scenario, report));
  }
  if (options.json) process.stdout.write(`${JSON.stringify(asOneObject(reports), null, 2)}\n`);
}

/** One scenario is its report; several are reports under their names, with all goals in one list. */
function asOneObject(reports: readonly Report[]): unknown {
  if (reports.length === 1) return reports[0];
  return {
    scenario: reports.map((report) => report.scenario).join(" "),
    machine: reports[0]?.machine,
    scenarios: Object.fromEntries(reports.map((report) => [report.scenario, report])),
    goals: reports.flatMap((report) => report.goals),
  };
}

// Ends by way of "exit", where what was started is ended and its folders are removed.
for (const [signal, code] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.once(signal, () => process.exit(code));
}

try {
  await main(process.argv.slice(2));
} catch (error) {
  const { code, message } = AppError.from(error);
  progress(message);
  process.exitCode = code === "internal.invalid_argument" ? 64 : 1;
}
