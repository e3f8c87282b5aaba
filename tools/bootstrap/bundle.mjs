// Bundles the command line and all services into packages/cli/dist/bundle: a process that loads it starts in a third of
// the time and keeps some 20 MB less resident than one that loads several hundred files. Verbs and plugins stay chunks
// of their own, loaded on first use.
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { isBuiltin } from "node:module";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { ROOT } from "./paths.mjs";

const ENTRY = "main.mjs";
// A box that runs loads chunks when it first needs them: those of earlier bundles stay for as long as one may run.
const KEPT_MS = 7 * 24 * 3600 * 1000;

const LEAN = "\0lean:";

/**
 * An `import` of one of Node's modules reads all its exports, and some of them load much more when they are read: fetch and
 * a WebSocket client (http), Web Crypto (crypto), worker threads (process). What is imported is read from the module object
 * instead, name by name, and what nobody uses is shaken out: up to 18 MB in each process.
 */
const leanBuiltins = {
  name: "lean-builtins",
  /** @param {string} source @param {string | undefined} _importer @param {{ kind: string }} how */
  resolveId(source, _importer, { kind }) {
    return kind === "import-statement" && isBuiltin(source)
      ? `${LEAN}${source.replace(/^node:/, "")}`
      : undefined;
  },
  /** @param {string} id */
  load(id) {
    if (!id.startsWith(LEAN)) return undefined;
    const name = id.slice(LEAN.length);
    const exports = Object.keys(/** @type {object} */ (process.getBuiltinModule(`node:${name}`)))
      .filter((key) => key !== "default")
      .map((key) => `export const ${key} = /* @__PURE__ */ (() => builtin.${key})();`);
    const code = `
      const builtin = process.getBuiltinModule("node:${name}");
      ${exports.join("\n")}
      export default builtin;`;
    return { code, moduleSideEffects: false };
  },
};

const GENERATED = /[\\/]contract[\\/]dist[\\/]generated[\\/]/;
const JSON_METHODS = new Set(["fromJSON", "toJSON"]);

/** No service writes messages of the contracts as JSON: a third of the generated code, kept by V8 in each process. */
const withoutJson = {
  name: "without-json",
  /** @this {import("rolldown").TransformPluginContext} @param {string} code @param {string} id */
  transform(code, id) {
    if (!GENERATED.test(id)) return undefined;
    /** @type {[number, number][]} */
    const cuts = [];
    for (const statement of this.parse(code).body) {
      const declared = statement.type === "ExportNamedDeclaration" ? statement.declaration : statement;
      if (declared?.type !== "VariableDeclaration") continue;
      const init = declared.declarations[0]?.init;
      if (init?.type !== "ObjectExpression") continue;
      for (const member of init.properties) {
        if (member.type !== "Property" || member.key.type !== "Identifier") continue;
        if (!JSON_METHODS.has(member.key.name)) continue;
        const comma = code.indexOf(",", member.end);
        cuts.push([member.start, comma < 0 || comma > init.end ? member.end : comma + 1]);
      }
    }
    let lean = code;
    for (const [from, to] of cuts.reverse()) lean = lean.slice(0, from) + lean.slice(to);
    return { code: lean };
  },
};

/** V8 keeps the source; one character beyond Latin-1 makes every character of its chunk take two bytes. */
const narrow = {
  name: "narrow",
  /** @param {unknown} _options @param {Record<string, { type: string, code?: string }>} chunks */
  generateBundle(_options, chunks) {
    for (const chunk of Object.values(chunks)) {
      if (chunk.type !== "chunk" || chunk.code === undefined) continue;
      // Right in strings, templates and regular expressions; after a backslash the escape would change its meaning.
      chunk.code = chunk.code.replace(
        /(?<!\\)[\u0100-\uffff]/g,
        (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
      );
    }
  },
};

const dist = join(ROOT, "packages", "cli", "dist");
const out = join(dist, "bundle");
const next = join(dist, `bundle-${process.pid}`);
const bundle = await rolldown({
  input: {
    main: join(dist, "main.js"),
    // A thread's file is loaded by its name, not imported.
    "registry-thread": join(
      ROOT,
      "services",
      "dispatcher",
      "dist",
      "registry",
      "table",
      "registry-thread.js",
    ),
    "sqlite-thread": join(ROOT, "packages", "data-store", "dist", "stores", "sqlite", "sqlite-thread.js"),
  },
  platform: "node",
  logLevel: "warn",
  plugins: [leanBuiltins, withoutJson, narrow],
});
await bundle.write({
  dir: next,
  format: "esm",
  minify: { compress: true, mangle: { keepNames: true }, codegen: { removeWhitespace: true } },
  entryFileNames: "[name].mjs",
  chunkFileNames: "[name]-[hash].mjs",
});
await bundle.close();

// Chunks first, the entry last: whoever starts meanwhile finds a whole bundle, the old one or the new one.
await mkdir(out, { recursive: true });
const made = (await readdir(next)).sort((a, b) => Number(a === ENTRY) - Number(b === ENTRY));
for (const name of made) await rename(join(next, name), join(out, name));
await rm(next, { recursive: true, force: true });
for (const name of await readdir(out)) {
  if (made.includes(name)) continue;
  const { mtimeMs } = await stat(join(out, name));
  if (Date.now() - mtimeMs > KEPT_MS) await rm(join(out, name), { force: true });
}
