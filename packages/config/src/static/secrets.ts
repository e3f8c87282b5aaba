/** Turns references to secrets into secrets, after everything else has been checked. */
import { readFile } from "node:fs/promises";
import { AppError } from "@myelin/kernel";
import type { ValuePath } from "../schema/check.js";
import type { Schema } from "../schema/schema.js";
import { Secret, type SecretReference } from "../schema/secret.js";
import type { Environment } from "./environment.js";

/** A reference that leads nowhere. */
export interface SecretProblem {
  readonly path: ValuePath;
  readonly rule: string;
  readonly value: unknown;
}

interface Reference {
  readonly fromFile?: string;
  readonly fromEnv?: string;
}

/** Replaces each reference in `value` by a `Secret`; `value` is changed. */
export async function resolveSecrets(
  schema: Schema,
  value: unknown,
  environment: Environment,
): Promise<readonly SecretProblem[]> {
  const problems: SecretProblem[] = [];
  await visit(schema, value, [], async (reference, path) => {
    const resolved = await resolveOne(reference, environment);
    if (resolved instanceof Secret) return resolved;
    problems.push({ path, value: reference, rule: resolved });
    return undefined;
  });
  return problems;
}

/**
 * What a resource's reference leads to now.
 * @throws AppError `config.unreadable` for a file that cannot be read or is empty, and a variable that is not set
 */
export async function resolveSecret(
  reference: SecretReference,
  environment: Environment = process.env,
): Promise<Secret> {
  const resolved = await resolveOne(reference, environment);
  if (resolved instanceof Secret) return resolved;
  throw new AppError("config.unreadable", `a secret must be ${resolved}`);
}

async function resolveOne(reference: Reference, environment: Environment): Promise<Secret | string> {
  const { fromFile, fromEnv } = reference;
  if (fromEnv !== undefined) {
    const text = environment[fromEnv];
    return text ? new Secret(text, `variable ${fromEnv}`) : `a variable that is set, ${fromEnv} is not`;
  }
  try {
    const text = (await readFile(fromFile as string, "utf8")).replace(/\r?\n$/, "");
    if (text === "") return `a file with content, ${fromFile} is empty`;
    return new Secret(text, `file ${fromFile}`, fromFile);
  } catch (error) {
    return `a readable file, ${fromFile} gives ${(error as NodeJS.ErrnoException).code}`;
  }
}

type Replace = (reference: Reference, path: ValuePath) => Promise<Secret | undefined>;

async function visit(schema: Schema, value: unknown, path: ValuePath, replace: Replace): Promise<void> {
  if (typeof value !== "object" || value === null) return;
  for (const [key, inner] of Object.entries(value)) {
    const field = fieldOf(schema, key);
    if (field === undefined) continue;
    const at = [...path, Array.isArray(value) ? Number(key) : key];
    if (field["x-form"] === "secret") {
      (value as Record<string, unknown>)[key] = await replace(inner as Reference, at);
    } else await visit(field, inner, at, replace);
  }
}

function fieldOf(schema: Schema, key: string): Schema | undefined {
  if (schema.items !== undefined) return schema.items;
  if (schema.properties !== undefined && Object.hasOwn(schema.properties, key)) return schema.properties[key];
  return schema.additionalProperties || undefined;
}
