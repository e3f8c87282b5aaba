// Puts together what is published: this package and the parts of the workspace that it reaches, as one package that needs
// nothing but the registry. `pnpm pack` runs it (`publishConfig.directory`). Files stay as the compiler wrote them, types
// included; only imports of workspace packages become relative. `node scripts/pack.mjs [FOLDER]`, after a build.
import { copyFile, mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(dirname(fileURLToPath(import.meta.url)));
const WORKSPACE = dirname(HERE);
const OUT = process.argv[2] ?? join(HERE, "dist", "npm");
const OWN = "@myelin/";
// What the compiler writes: `from "x"`, `import "x"` and `import("x")`.
const IMPORT = /(?<=\b(?:from |import |import\())"((?:\.{1,2}\/|@myelin\/)[\w./@-]+)"/g;
const BARE = /\b(?:from |import |import\()"((?!\.|node:|@myelin\/)[\w./@-]+)"/g;
const SOURCE_MAP = /\n\/\/# sourceMappingURL=.*\s*$/;

/** @param {string} file */
const json = async (file) => JSON.parse(await readFile(file, "utf8"));
const manifest = await json(join(HERE, "package.json"));

/** Where a compiled file of the workspace lies in what is published. @param {string} file */
function placeOf(file) {
  const [name, , ...rest] = relative(WORKSPACE, file).split("/");
  return name === "sdk-node"
    ? join("dist", ...rest)
    : join("dist", "platform", /** @type {string} */ (name), ...rest);
}

/** The file that an import in `from` means. @param {string} from @param {string} specifier */
async function resolveImport(from, specifier) {
  const types = from.endsWith(".d.ts");
  if (!specifier.startsWith(OWN)) {
    const file = join(dirname(from), specifier);
    return types ? file.replace(/\.js$/, ".d.ts") : file;
  }
  const [name, ...sub] = specifier.slice(OWN.length).split("/");
  const folder = join(WORKSPACE, /** @type {string} */ (name));
  const { exports } = await json(join(folder, "package.json"));
  const entry = exports[sub.length === 0 ? "." : `./${sub.join("/")}`];
  return join(folder, types ? entry.types : entry.default);
}

await rm(OUT, { recursive: true, force: true });
/** @type {Set<string>} */
const vendors = new Set();
const queue = ["index.js", "index.d.ts"].map((name) => join(HERE, "dist", name));
const seen = new Set(queue);
for (let file = queue.pop(); file !== undefined; file = queue.pop()) {
  const source = await readFile(file, "utf8");
  for (const [, name = ""] of source.matchAll(BARE)) {
    vendors.add(name.split("/", name.startsWith("@") ? 2 : 1).join("/"));
  }
  let text = source.replace(SOURCE_MAP, "\n");
  for (const specifier of new Set(
    [...source.matchAll(IMPORT)].map((match) => /** @type {string} */ (match[1])),
  )) {
    const target = await resolveImport(file, specifier);
    if (!seen.has(target)) {
      seen.add(target);
      queue.push(target);
    }
    const path = relative(dirname(placeOf(file)), placeOf(target)).replace(/\.d\.ts$/, ".js");
    text = text.replaceAll(`"${specifier}"`, `"${path.startsWith(".") ? path : `./${path}`}"`);
  }
  const place = join(OUT, placeOf(file));
  await mkdir(dirname(place), { recursive: true });
  await writeFile(place, text);
}

/** Versions of the libraries, from whichever workspace package has them and what is installed there. */
const dependencies = Object.fromEntries(
  await Promise.all(
    [...vendors].sort().map(async (name) => {
      const users = [...new Set([...seen].map((file) => relative(WORKSPACE, file).split("/", 1)[0]))];
      for (const user of users) {
        const path = join(WORKSPACE, /** @type {string} */ (user), "node_modules", name, "package.json");
        const installed = await json(path).catch(() => undefined);
        if (installed !== undefined) return [name, `^${installed.version}`];
      }
      throw new Error(`${name} is imported and not installed`);
    }),
  ),
);

const { name, version, description, license, type, engines, keywords, repository } = manifest;
const published = {
  ...{ name, version, description, license, keywords, repository, type, engines },
  exports: { ".": { types: "./dist/index.d.ts", default: "./dist/index.js" } },
  types: "./dist/index.d.ts",
  files: ["dist", "examples"],
  sideEffects: false,
  dependencies,
};
await writeFile(join(OUT, "package.json"), `${JSON.stringify(published, null, 2)}\n`);
await mkdir(join(OUT, "examples"), { recursive: true });
await copyFile(join(HERE, "examples", "ten-lines.mjs"), join(OUT, "examples", "ten-lines.mjs"));
await copyFile(join(WORKSPACE, "..", "LICENSE"), join(OUT, "LICENSE"));
await copyFile(join(HERE, "README.md"), join(OUT, "README.md"));
process.stdout.write(`${seen.size} files and ${vendors.size} libraries: ${[...vendors].sort().join(", ")}\n`);
