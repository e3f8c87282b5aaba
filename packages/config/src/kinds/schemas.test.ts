/** What editors and Kubernetes get of the resource kinds: generated, checked, and the same as what the platform accepts. */
import { globSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { formatYaml, parseYaml } from "../static/yaml.js";
import { customResourceDefinition } from "./crd.js";
import { anyKindSchema, editorSchema } from "./editor-schema.js";
import type { AnyKind } from "./kind.js";
import { pluralOf, singularOf } from "./kind-names.js";
import { printerColumns } from "./printer-columns.table.js";
import { kinds } from "./registry.js";

const ROOT = fileURLToPath(new URL("../../../..", import.meta.url));
const all: readonly AnyKind[] = Object.values(kinds);
const fileOf = (kind: string): string => `${singularOf(kind)}.schema.json`;
const asJson = (value: unknown): string => `${JSON.stringify(value, null, 2)}\n`;
const columns = (kind: string) => printerColumns[kind as keyof typeof printerColumns] ?? [];

/** Every YAML document with an apiVersion in our guides and READMEs, and every sample. */
async function samples(): Promise<{ file: string; value: unknown }[]> {
  const found: { file: string; value: unknown }[] = [];
  const files = globSync(["README.md", "docs/**/*.md", "{services,packages}/*/README.md"], { cwd: ROOT });
  for (const file of files) {
    for (const [, text = ""] of readFileSync(`${ROOT}/${file}`, "utf8").matchAll(
      /^```yaml\n([\s\S]*?)^```/gm,
    )) {
      if (!/^apiVersion: myelin/m.test(text)) continue;
      for (const { value } of (await parseYaml(text)).documents) found.push({ file, value });
    }
  }
  return found;
}

function judge() {
  const ajv = new Ajv2020({ strict: true, allErrors: false, validateFormats: false });
  for (const kind of all) ajv.addSchema(editorSchema(kind), fileOf(kind.kind));
  return ajv.compile(anyKindSchema(all, fileOf));
}

describe("the schema for editors", () => {
  it.each(all.map((kind) => [kind.kind, kind] as const))(
    "of %s is what the kind says",
    async (name, kind) => {
      await expect(asJson(editorSchema(kind))).toMatchFileSnapshot(
        `${ROOT}/docs/reference/schemas/${fileOf(name)}`,
      );
    },
  );

  it("of any kind is what the kinds say", async () => {
    await expect(asJson(anyKindSchema(all, fileOf))).toMatchFileSnapshot(
      `${ROOT}/docs/reference/schemas/resource.schema.json`,
    );
  });

  it("accepts what our documents show", async () => {
    const found = await samples();
    expect(found.length).toBeGreaterThan(3);
    const accepts = judge();
    for (const { file, value } of found) {
      accepts(value);
      expect(accepts.errors ?? [], file).toEqual([]);
    }
  });

  it("refuses a key too many, a wrong type, a wrong word and another kind", async () => {
    const accepts = judge();
    const route = (spec: object, kind = "Route") => ({
      apiVersion: "myelin.dev/v1alpha1",
      kind,
      metadata: { name: "a" },
      spec: { match: {}, targets: [{ app: "a" }], ...spec },
    });
    expect(accepts(route({}))).toBe(true);
    for (const spec of [
      { oder: 1 },
      { order: "1" },
      { match: { kinds: ["x"] } },
      { targets: [] },
      { targets: [{}] },
    ])
      expect(accepts(route(spec)), JSON.stringify(spec)).toBe(false);
    expect(accepts(route({}, "Rout"))).toBe(false);
  });
});

const FORBIDDEN = [
  "uniqueItems",
  "propertyNames",
  "additionalItems",
  "patternProperties",
  "definitions",
  "$ref",
  "$schema",
  "const",
  "if",
  "dependencies",
];

/** The rules for structural schemas, of the API server. */
function breaches(schema: Record<string, unknown>, path: string): string[] {
  const out = FORBIDDEN.filter((key) => key in schema).map((key) => `${path}: ${key}`);
  for (const key of Object.keys(schema)) {
    if (key.startsWith("x-") && !key.startsWith("x-kubernetes-")) out.push(`${path}: ${key}`);
  }
  const { type, properties, additionalProperties, items, default: preset } = schema;
  if (typeof type !== "string") out.push(`${path}: no type`);
  if (properties !== undefined && additionalProperties !== undefined)
    out.push(`${path}: both kinds of properties`);
  if (additionalProperties === false) out.push(`${path}: closed`);
  if (type === "array" && items === undefined) out.push(`${path}: no items`);
  if (preset !== undefined) {
    const fits = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
    if (!fits(preset)) out.push(`${path}: the default does not fit`);
  }
  for (const [key, inner] of Object.entries((properties ?? {}) as Record<string, Record<string, unknown>>))
    out.push(...breaches(inner, `${path}.${key}`));
  if (typeof additionalProperties === "object")
    out.push(...breaches(additionalProperties as Record<string, unknown>, `${path}.*`));
  if (items !== undefined) out.push(...breaches(items as Record<string, unknown>, `${path}[]`));
  return out;
}

interface Definition {
  readonly metadata: { readonly name: string };
  readonly spec: {
    readonly group: string;
    readonly names: { readonly plural: string };
    readonly versions: readonly {
      readonly schema: { readonly openAPIV3Schema: Record<string, unknown> };
      readonly additionalPrinterColumns: readonly { readonly jsonPath: string }[];
    }[];
  };
}

describe("the CRD", () => {
  it.each(all.map((kind) => [kind.kind, kind] as const))(
    "of %s is what the kind says",
    async (name, kind) => {
      const note = "# Generated from packages/config/src/kinds/; `npm test -- config -u` writes it anew.\n";
      const text = note + (await formatYaml(customResourceDefinition(kind, columns(name))));
      await expect(text).toMatchFileSnapshot(`${ROOT}/deploy/crds/${pluralOf(name)}.myelin.dev.yaml`);
    },
  );

  it.each(all.map((kind) => [kind.kind, kind] as const))("of %s has a structural schema", (name, kind) => {
    const crd = customResourceDefinition(kind, columns(name)) as unknown as Definition;
    expect(crd.metadata.name).toBe(`${crd.spec.names.plural}.${crd.spec.group}`);
    for (const { schema } of crd.spec.versions) expect(breaches(schema.openAPIV3Schema, "")).toEqual([]);
  });

  it.each(all.map((kind) => [kind.kind, kind] as const))(
    "of %s shows columns that there are",
    (name, kind) => {
      const crd = customResourceDefinition(kind, columns(name)) as unknown as Definition;
      const [version] = crd.spec.versions;
      for (const { jsonPath } of version?.additionalPrinterColumns ?? []) {
        if (!jsonPath.startsWith(".spec.")) continue;
        let at: unknown = version?.schema.openAPIV3Schema;
        for (const step of jsonPath.slice(1).split("."))
          at = (at as { properties?: Record<string, unknown> }).properties?.[step];
        expect(at, jsonPath).toBeDefined();
      }
    },
  );

  it("accepts what our documents show", async () => {
    for (const { file, value } of await samples()) {
      const { kind, spec } = value as { kind: string; spec: unknown };
      const crd = customResourceDefinition(
        kinds[kind as keyof typeof kinds],
        columns(kind),
      ) as unknown as Definition;
      const schema = crd.spec.versions[0]?.schema.openAPIV3Schema as Record<string, unknown>;
      const accepts = new Ajv2020({ strict: false, validateFormats: false }).compile(schema);
      accepts({ spec });
      expect(accepts.errors ?? [], file).toEqual([]);
    }
  });
});
