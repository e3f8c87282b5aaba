/**
 * Vectors of every message of every .proto, made from the .proto files themselves by another implementation of Protobuf than the one
 * the services use. A new message or field is in them without anybody's doing.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import protobuf from "protobufjs";
import {
  app,
  audit,
  command,
  control,
  envelope,
  flow,
  history,
  mcp,
  ops,
  registry,
  resource,
  retained,
  rule,
  sample as sampleMessages,
  session,
  shadow,
  sys,
} from "../../src/index.js";
import { bytes, type Codec, field, type GoodCase, hex } from "./vector.js";

const PROTO = fileURLToPath(new URL("../../../../proto/", import.meta.url));
const GENERATED: Readonly<Record<string, object>> = {
  app,
  audit,
  command,
  control,
  envelope,
  flow,
  history,
  mcp,
  ops,
  resource,
  registry,
  retained,
  rule,
  sample: sampleMessages,
  session,
  shadow,
  sys,
};
/** A message within itself is filled this often. */
const MAX_DEPTH = 1;

/** Bytes that are refused; what code goes with them is the business of who reads them. */
export interface BadMessage {
  readonly name: string;
  readonly bytes: string;
  readonly plain: boolean;
}

export interface MessageVectors {
  readonly message: string;
  readonly good: readonly GoodCase[];
  readonly bad: readonly BadMessage[];
}

/** The messages of all .proto files, with the generated code of each. @throws when there is none of a message */
export function messageTypes(): ReadonlyArray<{ type: protobuf.Type; codec: Codec<unknown> }> {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => join(PROTO, target);
  const files = readdirSync(PROTO, { recursive: true, encoding: "utf8" });
  root.loadSync(files.filter((path) => path.endsWith(".proto")).sort());
  root.resolveAll();
  const found: { type: protobuf.Type; codec: Codec<unknown> }[] = [];
  const visit = (at: protobuf.NamespaceBase): void => {
    for (const nested of at.nestedArray) {
      if (nested instanceof protobuf.Type) found.push({ type: nested, codec: codecOf(nested) });
      if (nested instanceof protobuf.Namespace) visit(nested);
    }
  };
  visit(root);
  return found;
}

export function messageVectors(): { about: string; messages: readonly MessageVectors[] } {
  return {
    about: "every message of every .proto file by itself, each field set, and what must be refused",
    messages: messageTypes().map(({ type, codec }) => ({
      message: type.fullName.slice(1),
      good: goodCases(type, codec),
      bad: badCases(type),
    })),
  };
}

function codecOf(type: protobuf.Type): Codec<unknown> {
  const [, , area = "", , name = ""] = type.fullName.split(".");
  const module = GENERATED[area];
  if (module === undefined || !Object.hasOwn(module, name))
    throw new RangeError(`there is no generated code for ${type.fullName}`);
  return (module as Record<string, Codec<unknown>>)[name]!;
}

function goodCases(type: protobuf.Type, codec: Codec<unknown>): GoodCase[] {
  const made = (name: string, value: object, behind = ""): GoodCase => {
    const body = Buffer.concat([type.encode(type.create(value)).finish(), bytes(behind)]);
    return { name, canonical: behind === "", bytes: hex(body), message: codec.toJSON(codec.decode(body)) };
  };
  const alternatives = type.oneofsArray.filter((one) => one.fieldsArray.length > 1);
  const choices = alternatives.flatMap((one) => one.fieldsArray);
  const common = type.fieldsArray.filter((one) => !choices.includes(one.resolve()));
  const all = (...extra: protobuf.Field[]): object => sample([...common, ...extra], 0);
  return [
    made("nothing", {}),
    ...(choices.length === 0
      ? [made("every field", all())]
      : choices.map((choice) => made(`every field, and ${choice.name}`, all(choice)))),
    made("fields of a later version", all(), "fa7d0161f97d0102030405060708fd7d01020304f87d01"),
  ];
}

function sample(fields: readonly protobuf.Field[], depth: number): Record<string, unknown> {
  const entries = fields
    .filter((one) => !(one.resolvedType === one.parent && depth >= MAX_DEPTH))
    .map((one): [string, unknown] => {
      const value = sampleValue(one.resolve(), depth);
      if (one instanceof protobuf.MapField) return [one.name, { key: value }];
      return [one.name, one.repeated ? [value, value] : value];
    });
  return Object.fromEntries(entries);
}

function sampleValue(one: protobuf.Field, depth: number): unknown {
  const { resolvedType, type, id, name } = one;
  if (resolvedType instanceof protobuf.Enum) return Math.max(...Object.values(resolvedType.values));
  if (resolvedType instanceof protobuf.Type) {
    const oneof = resolvedType.oneofsArray.flatMap((group) => group.fieldsArray.slice(1));
    const fields = resolvedType.fieldsArray.filter((inner) => !oneof.includes(inner));
    return sample(fields, resolvedType === one.parent ? depth + 1 : depth);
  }
  if (type === "string") return name;
  if (type === "bytes") return Buffer.from([0, id, 255]);
  if (type === "bool") return true;
  // One that needs more than one byte as a varint, and is another for each field.
  return 1000 + id;
}

function badCases(type: protobuf.Type): BadMessage[] {
  const bad = (name: string, body: Uint8Array, plain = true): BadMessage => ({
    name,
    bytes: hex(body),
    plain,
  });
  const delimited = type.fieldsArray.find((one) => one.type === "string" || one.type === "bytes");
  const nested = type.fieldsArray.find(
    (one) => one.resolve().resolvedType instanceof protobuf.Type && !one.map,
  );
  const tag = (one: protobuf.Field): Buffer => bytes(hexTag(one.id, 2));
  return [
    bad("field number 0", bytes("0000"), false),
    bad("wire type 7", bytes("0f00")),
    bad("a group that never ends", bytes("fb7d"), false),
    bad("tag cut off", bytes("80")),
    bad("varint cut off", bytes("f87d80")),
    // What it does not know, a general decoder may skip without a look at its length.
    bad("varint of eleven bytes", bytes("f87dffffffffffffffffffff01"), false),
    bad("fixed32 cut off", bytes("fd7d010203")),
    bad("fixed64 cut off", bytes("f97d01020304050607")),
    bad("length over the end", bytes("fa7d0561")),
    ...(delimited === undefined
      ? []
      : [
          bad(`${delimited.name} over the end`, Buffer.concat([tag(delimited), bytes("0261")])),
          bad(`${delimited.name} of 4 GB`, Buffer.concat([tag(delimited), bytes("ffffffff0f61")])),
        ]),
    ...(nested === undefined ? [] : [bad(`broken ${nested.name}`, nestedBody(nested))]),
  ];
}

/** A field whose message announces more than it holds. */
function nestedBody(one: protobuf.Field): Buffer {
  const [head = 0, ...more] = bytes(hexTag(one.id, 2));
  const body = bytes("fa7d05");
  return more.length === 0
    ? field(head, body)
    : Buffer.concat([Buffer.from([head, ...more, body.length]), body]);
}

function hexTag(id: number, wireType: number): string {
  const out: number[] = [];
  let rest = id * 8 + wireType;
  for (; rest > 0x7f; rest >>>= 7) out.push((rest & 0x7f) | 0x80);
  return hex(Buffer.from([...out, rest]));
}
