/** What may not stand in a source, and where it may after all. */
import { Visitor } from "oxc-parser";
import { isGenerated, isTest, lineOf, type Source } from "./sources.js";

/** A longer file hides more than it says. */
export const MAX_LINES = 500;

/** A table that keeps the name by which everybody knows it. */
const TABLES = ["packages/kernel/src/errors/codes.ts"];

/** Prefixes of paths that own what is forbidden elsewhere. */
const OWNERS = {
  "process.env": ["packages/config/src/", "packages/bench/", "packages/testkit/src/environment.ts"],
  console: ["packages/bench/"],
  "process.exit": ["packages/service-host/src/", "packages/cli/src/", "packages/bench/", "packages/e2e/"],
  "a bare Error": ["packages/bench/", "packages/e2e/"],
  // What they test is the sleeping itself.
  sleep: ["packages/kernel/src/time/time.test.ts"],
} as const;

/** One sentence for each place that breaks a rule. */
export function forbiddenUses(source: Source): string[] {
  const { path, text, program } = source;
  const found: string[] = [];
  const complain = (what: string, at: number): void => {
    found.push(`${path}:${lineOf(text, at)} ${what}`);
  };
  // A bench is a program of its own, whose figures go to the terminal.
  const isBench = path.endsWith(".bench.ts");
  const isOwner = (rule: keyof typeof OWNERS): boolean =>
    isBench || OWNERS[rule].some((owner) => path.startsWith(owner));
  const sleeps = isTest(path) && !isOwner("sleep");
  const asleep = "sleeps in a test; wait for a condition with waitFor, or use a fake clock";
  for (const { specifier, line } of source.imports) {
    if (sleeps && /^(node:)?timers\/promises$/.test(specifier)) found.push(`${path}:${line} ${asleep}`);
  }
  // A timer that is kept is one that somebody ends, a deadline; nobody ends the timer of a sleep.
  const kept = new Set<number>();
  new Visitor({
    VariableDeclarator({ init }) {
      if (init !== null) kept.add(init.start);
    },
    AssignmentExpression({ right }) {
      kept.add(right.start);
    },
    CallExpression({ callee, start }) {
      if (!sleeps || kept.has(start)) return;
      if (callee.type === "Identifier" && callee.name === "setTimeout") complain(asleep, start);
      if (callee.type !== "MemberExpression") return;
      const { object, property } = callee;
      if (object.type !== "Identifier" || property.type !== "Identifier") return;
      const name = `${object.name}.${property.name}`;
      if (name === "systemClock.sleep" || name === "Atomics.wait") complain(asleep, start);
      if (/^(globalThis|timers)\.setTimeout$/.test(name)) complain(asleep, start);
    },
    MemberExpression(node) {
      const { object, property } = node;
      if (object.type !== "Identifier" || property.type !== "Identifier") return;
      const name = `${object.name}.${property.name}`;
      if (name === "process.env" && !isOwner(name))
        complain("reads process.env outside of its owner", node.start);
      if (name === "process.exit" && !isOwner(name)) complain("ends the process", node.start);
      if (object.name === "console" && !isOwner("console")) complain("writes to the console", node.start);
      if (/^(test|it|describe|suite)\.only$/.test(name)) complain("runs only one test", node.start);
    },
    TSEnumDeclaration(node) {
      complain("declares an enum; use a union of strings", node.start);
    },
    ThrowStatement(node) {
      const { argument } = node;
      const bare =
        argument.type === "NewExpression" &&
        argument.callee.type === "Identifier" &&
        argument.callee.name === "Error";
      if ((bare || argument.type === "Literal") && !isTest(path) && !isOwner("a bare Error")) {
        complain("throws a bare Error; use AppError with a code", node.start);
      }
    },
  }).visit(program);
  for (const comment of source.comments) {
    if (/\b(TODO|FIXME|XXX)\b/.test(comment.value)) complain("leaves something to do", comment.start);
  }
  return found;
}

/** A complaint when the file is too long; tables and generated code may be. */
export function tooLong(path: string, text: string): string | undefined {
  const lines = text.replace(/\n$/, "").split("\n").length;
  if (lines <= MAX_LINES || isGenerated(path) || path.endsWith(".table.ts") || TABLES.includes(path))
    return undefined;
  return `${path} has ${lines} lines; ${MAX_LINES} are the limit`;
}
