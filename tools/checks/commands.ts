/** Holds the commands that our documents tell the reader to run to what a fresh checkout can run. */

/** What there is to run. `exists` answers for a path relative to the root. */
export interface Runnable {
  readonly scripts: readonly string[];
  readonly packages: readonly string[];
  /** Options by verb of `myelin`, long and short; a verb that takes settings as well has them checked elsewhere. */
  readonly verbs: ReadonlyMap<string, readonly string[]>;
  exists(path: string): boolean;
}

/** One sentence for each command, in the Markdown at `path`, that does not exist. */
export function brokenCommands(path: string, text: string, runnable: Runnable): string[] {
  return commandsOf(text).flatMap((command) => {
    const wrong = problemOf(command, runnable);
    return wrong === undefined ? [] : [`${path} says \`${command}\`: ${wrong}`];
  });
}

/** Lines of shell blocks, and inline code that begins like a command. Comments, prompts and variables in front are taken off. */
function commandsOf(markdown: string): string[] {
  const blocks = [...markdown.matchAll(/^```(?:sh|bash|shell)\n([\s\S]*?)^```/gm)].flatMap(([, body = ""]) =>
    body.replace(/\\\n\s*/g, " ").split("\n"),
  );
  const prose = markdown.replace(/^(```|~~~)[^\n]*\n[\s\S]*?^\1/gm, "");
  const inline = [...prose.matchAll(/`([^`\n]+)`/g)].map(([, code = ""]) => code);
  return [...blocks, ...inline]
    .flatMap((line) => line.replace(/\s#.*$/, "").split(/\s*(?:\||&&|;)\s*/))
    .map((command) => command.trim().replace(/^(?:\$\s+|[A-Z_]+=\S*\s+)+/, ""))
    .filter((command) => /^(npm (run|test|start)|npx|pnpm|yarn|(\.\/bin\/)?myelin)(\s|$)/.test(command));
}

function problemOf(command: string, runnable: Runnable): string | undefined {
  const [program = "", ...words] = command.split(/\s+/);
  if (program === "npm") return npmProblem(words, runnable);
  if (program.endsWith("myelin")) return verbProblem(words, runnable);
  return `${program} need not be on the reader's machine; there are npm scripts`;
}

function npmProblem(words: readonly string[], { scripts, packages, exists }: Runnable): string | undefined {
  const [verb = "", ...rest] = words.filter((word) => word !== "--silent");
  const script = verb === "run" ? rest[0] : verb;
  if (script !== undefined && !scripts.includes(script)) return `there is no script ${script}`;
  if (verb !== "test" || !rest.includes("--")) return undefined;
  const target = rest[rest.indexOf("--") + 1] ?? "";
  // Capitals stand for what the reader fills in.
  if (target.startsWith("-") || /^[A-Z]+$/.test(target)) return undefined;
  return packages.includes(target) || exists(target) ? undefined : `there is no package or path ${target}`;
}

function verbProblem(words: readonly string[], { verbs }: Runnable): string | undefined {
  const [verb = ""] = words;
  if (verb === "" || /^([A-Z]+|…|-.*)$/.test(verb)) return undefined;
  // `listener|dispatcher` and `devices (…)` name several.
  if (!/^[a-z][a-z-]*$/.test(verb)) return undefined;
  const options = verbs.get(verb);
  if (options === undefined) return `there is no verb ${verb}`;
  const used = words.flatMap((word) => /^--?[a-z][a-z-]*/.exec(word)?.[0] ?? []);
  const unknown = used.find((option) => !options.includes(option));
  return unknown === undefined ? undefined : `${verb} has no option ${unknown}`;
}
