/** Programs that tests run against, and the Debian packages that bring them. */
import {
  accessSync,
  chmodSync,
  constants,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { say, step } from "./progress.mjs";
import { runTool } from "./run-tool.mjs";

/** Program, or file of a library, as tests name it with `requires.program`, and its package. One line for each. */
export const DEBIAN_PACKAGES = {
  "/usr/include/modbus/modbus.h": "libmodbus-dev",
  influxd: "influxdb",
  mariadbd: "mariadb-server",
  mosquitto: "mosquitto",
  mosquitto_pub: "mosquitto-clients",
  // Servers themselves lie in folders of their versions; this comes with them.
  pg_createcluster: "postgresql",
  promtool: "prometheus",
  "redis-server": "redis-server",
  socat: "socat",
};

const POLICY = "/usr/sbin/policy-rc.d";
const DENY = "#!/bin/sh\n# Put here by the test set-up of Myelin while it installs packages.\nexit 101\n";

/** @returns {string[]} the programs of the table that this machine lacks */
export function missingPrograms() {
  return Object.keys(DEBIAN_PACKAGES).filter((name) => !hasProgram(name));
}

/**
 * Installs what is missing when run as root in CI or when asked to, without starting a daemon. Elsewhere, and where it
 * fails, says what is missing; the tests that need it are then skipped by name.
 * @param {{ asked: boolean, ci: boolean }} options
 */
export async function bringPrograms({ asked, ci }) {
  const missing = missingPrograms();
  if (missing.length === 0) return;
  const packages = missing.map((name) => DEBIAN_PACKAGES[/** @type {keyof typeof DEBIAN_PACKAGES} */ (name)]);
  const isRoot = process.getuid?.() === 0;
  const hint = `some tests need ${missing.join(", ")} and are skipped; to run them: apt-get install ${packages.join(" ")}`;
  if (!hasProgram("apt-get") || !isRoot || !(asked || ci)) {
    say(
      asked && !isRoot
        ? `Installing needs root: ${hint}`
        : `Note: ${hint}${isRoot ? ", or add --install" : ""}`,
    );
    return;
  }
  try {
    await step("Debian packages", `installing ${packages.join(", ")} with apt`, () => aptInstall(packages));
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    say(`${error.message} Note: ${hint}`);
  }
}

/** @param {readonly string[]} packages */
async function aptInstall(packages) {
  const restore = denyDaemons();
  // Also when a signal ends us: a machine whose daemons never start again would be a bad souvenir.
  process.once("exit", restore);
  try {
    if (!hasPackageLists()) await apt(["update"]);
    try {
      await apt(["install", ...packages]);
    } catch {
      // The lists may be older than the mirror; once more with fresh ones.
      await apt(["update"]);
      await apt(["install", ...packages]);
    }
  } finally {
    process.off("exit", restore);
    restore();
  }
}

/** @param {readonly string[]} args */
function apt(args) {
  const quiet = ["-y", "-q", "-o", "DPkg::Lock::Timeout=120"];
  const lean = args[0] === "install" ? ["--no-install-recommends"] : [];
  return runTool(`apt-get ${args.join(" ")}`, "apt-get", [...quiet, ...lean, ...args], {
    log: "apt",
    env: { DEBIAN_FRONTEND: "noninteractive" },
  });
}

/**
 * invoke-rc.d(8) asks this file before it starts a daemon: 101 means no.
 * @param {string} [file]
 * @returns {() => void} puts everything back as it was; safe to call twice
 */
export function denyDaemons(file = POLICY) {
  const saved = `${file}.before-myelin`;
  // One of ours that is still there comes from a run that was killed; what that run saved, if anything, is theirs.
  if (existsSync(file) && readFileSync(file, "utf8") !== DENY) renameSync(file, saved);
  writeFileSync(file, DENY);
  chmodSync(file, 0o755);
  let done = false;
  return () => {
    if (done) return;
    done = true;
    if (existsSync(saved)) renameSync(saved, file);
    else rmSync(file, { force: true });
  };
}

function hasPackageLists() {
  const folder = "/var/lib/apt/lists";
  return (
    existsSync(folder) &&
    readdirSync(folder).some((name) => name.endsWith("_Packages") || name.includes("_Packages."))
  );
}

/** @param {string} name */
function hasProgram(name) {
  if (name.startsWith("/")) return existsSync(name);
  const folders = [...(process.env.PATH ?? "").split(delimiter), "/usr/local/sbin", "/usr/sbin", "/sbin"];
  return folders.some((folder) => {
    try {
      accessSync(join(folder, name), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}
