/** The stock clients, and how each is made ready to run. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rename } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

const run = promisify(execFile);
const PUPPETS = fileURLToPath(new URL("./puppets/", import.meta.url));
const INSTALL_MS = 180_000;

/** A command line that the puppet's own arguments are added to. */
export interface Launch {
  readonly command: string;
  readonly args: readonly string[];
}

/** A library and the tool chain without which its stories are skipped. */
export interface StockClient {
  readonly name: string;
  readonly needs: string;
  readonly versions: readonly (4 | 5)[];
  /** Installs or builds it unless that was done before. */
  prepare(): Promise<Launch>;
}

export const stockClients: readonly StockClient[] = [
  {
    name: "Paho for Python",
    needs: "python3",
    versions: [4, 5],
    async prepare() {
      const source = join(PUPPETS, "paho-python");
      const built = await once(source, (into) =>
        run(
          "python3",
          ["-m", "pip", "install", "-q", "--disable-pip-version-check", "-t", into, "-r", "requirements.txt"],
          { cwd: source, timeout: INSTALL_MS },
        ),
      );
      const program = `import sys, runpy; sys.path.insert(0, ${JSON.stringify(built)}); runpy.run_path(${JSON.stringify(join(source, "puppet.py"))}, run_name="__main__")`;
      return { command: "python3", args: ["-c", program] };
    },
  },
  {
    name: "Paho for Java",
    needs: "mvn",
    versions: [5],
    async prepare() {
      const source = join(PUPPETS, "paho-java");
      const built = await once(source, (into) =>
        run("mvn", ["-q", "-B", "dependency:copy-dependencies", `-DoutputDirectory=${into}`], {
          cwd: source,
          timeout: INSTALL_MS,
        }),
      );
      return { command: "java", args: ["-cp", `${built}/*`, join(source, "Puppet.java")] };
    },
  },
  {
    name: "Paho for Go",
    needs: "go",
    versions: [4],
    async prepare() {
      const source = join(PUPPETS, "paho-go");
      const built = await once(source, (into) =>
        run("go", ["build", "-o", join(into, "puppet"), "."], { cwd: source, timeout: INSTALL_MS }),
      );
      return { command: join(built, "puppet"), args: [] };
    },
  },
  {
    name: "MQTT.js",
    needs: "node",
    versions: [4, 5],
    async prepare() {
      return { command: process.execPath, args: [join(PUPPETS, "mqtt-js", "puppet.ts")] };
    },
  },
];

/** A folder that `make` has filled, kept as long as the sources stay the same. */
async function once(source: string, make: (into: string) => Promise<unknown>): Promise<string> {
  const hash = createHash("sha256");
  for (const name of (await readdir(source)).sort())
    hash.update(name).update(await readFile(join(source, name)));
  const target = join(tmpdir(), `myelin-mqtt-client-${hash.digest("hex").slice(0, 16)}`);
  if (existsSync(target)) return target;
  const into = await mkdtemp(`${target}-`);
  await make(into);
  // Two runs at once: whoever comes second finds a folder that is as good.
  await rename(into, target).catch((error: unknown) => {
    if (!existsSync(target)) throw error;
  });
  return target;
}
