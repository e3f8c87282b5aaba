// Bundles the command line and all services into packages/cli/dist/bundle: a process that loads it starts in a third of
// the time and keeps some 20 MB less resident than one that loads several hundred files. Verbs and plugins stay chunks
// of their own, loaded on first use.
import { mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import http from "node:http";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { ROOT } from "./paths.mjs";

const ENTRY = "main.mjs";
// A box that runs loads chunks when it first needs them: those of earlier bundles stay for as long as one may run.
const KEPT_MS = 7 * 24 * 3600 * 1000;

const LEAN_HTTP = "\0lean-http";
const LAZY_EXPORTS = ["WebSocket", "CloseEvent", "MessageEvent"];

/**
 * An `import` of node:http reads all its exports, and three of them load Node's own fetch and WebSocket client when they
 * are read: up to 14 MB in each process, for nothing. `require` does not read them, so what is imported goes that way.
 */
const leanHttp = {
  name: "lean-http",
  /** @param {string} source @param {string | undefined} _importer @param {{ kind: string }} how */
  resolveId(source, _importer, { kind }) {
    return /^(node:)?http$/.test(source) && kind === "import-statement" ? LEAN_HTTP : undefined;
  },
  /** @param {string} id */
  load(id) {
    if (id !== LEAN_HTTP) return undefined;
    const names = Object.keys(http).filter((name) => !LAZY_EXPORTS.includes(name));
    const code = `
      const http = process.getBuiltinModule("node:http");
      export const { ${names.join(", ")} } = http;
      export default http;`;
    return { code, moduleSideEffects: false };
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
  input: join(dist, "main.js"),
  platform: "node",
  logLevel: "warn",
  plugins: [leanHttp, narrow],
});
await bundle.write({
  dir: next,
  format: "esm",
  minify: { compress: true, mangle: false, codegen: { removeWhitespace: true } },
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
