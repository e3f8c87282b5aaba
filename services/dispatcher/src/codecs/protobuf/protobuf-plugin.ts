/** Payloads described by a .proto file or a descriptor set of the user's. */
import { readFile } from "node:fs/promises";
import { dirname, relative, resolve, sep } from "node:path";
import { AppError } from "@myelin/kernel";
// The descriptor extension adds `fromDescriptor` to the library.
import protobuf from "protobufjs";
import "protobufjs/ext/descriptor.js";
import type { CodecPlugin } from "../codec.js";

const CONTENT_TYPE = "application/x-protobuf";
const CONVERSION = { longs: String, enums: String, bytes: Buffer, defaults: true, oneofs: false } as const;

/** `codec: protobuf`, with `protobuf: { file: plant.proto, message: plant.Reading }` */
export const protobufPlugin: CodecPlugin = {
  kind: "protobuf",
  async load({ protobuf: options }, { resourcesDir }) {
    if (options === undefined) {
      throw new AppError("route.invalid", "codec protobuf needs protobuf: { file, message }");
    }
    const type = await loadType(options.file, options.message, resourcesDir);
    return {
      contentType: CONTENT_TYPE,
      decode: (payload) =>
        guard(`read ${options.message}`, () => type.toObject(type.decode(payload), CONVERSION)),
      encode: (value) =>
        guard(`write ${options.message}`, () => {
          const message = type.fromObject(value as Record<string, unknown>);
          // The library turns what does not fit into NaN or a default; only the way back shows it.
          expectKept(value, type.toObject(message, CONVERSION), options.message);
          return type.encode(message).finish();
        }),
    };
  },
};

async function loadType(file: string, message: string, resourcesDir: string): Promise<protobuf.Type> {
  const path = inside(resourcesDir, file);
  try {
    const root = file.endsWith(".proto")
      ? await parseFiles(path, resourcesDir)
      : descriptorRoot(await readFile(path));
    return root.lookupType(message);
  } catch (thrown) {
    throw AppError.wrap("route.invalid", `cannot use ${message} of ${file}`, thrown);
  }
}

function descriptorRoot(bytes: Buffer): protobuf.Root {
  const root = protobuf.Root.fromDescriptor(bytes);
  root.resolveAll();
  return root;
}

/** Follows imports, but never out of the resources directory; the well-known types are built in. */
async function parseFiles(path: string, resourcesDir: string): Promise<protobuf.Root> {
  const root = new protobuf.Root();
  root.resolvePath = (origin, target) => {
    if (Object.hasOwn(protobuf.common as object, target) || target.startsWith("google/protobuf/"))
      return target;
    return origin === ""
      ? path
      : inside(resourcesDir, relative(resourcesDir, resolve(dirname(origin), target)));
  };
  await root.load(path);
  root.resolveAll();
  return root;
}

function inside(directory: string, file: string): string {
  const root = resolve(directory);
  const path = resolve(root, file);
  if (path.startsWith(root + sep)) return path;
  throw new AppError("route.invalid", `${JSON.stringify(file)} is not below the resources directory`);
}

function guard<T>(what: string, task: () => T): T {
  try {
    return task();
  } catch (cause) {
    throw new AppError("contract.bad_payload", `cannot ${what}`, { cause });
  }
}

/** @throws TypeError when a field of the type holds another value than it was given; fields it does not have are ignored. */
function expectKept(given: unknown, kept: unknown, path: string): void {
  if (given === null || given === undefined || kept === undefined) return;
  if (typeof given === "object" && !(given instanceof Uint8Array)) {
    if (typeof kept !== "object" || kept === null) throw new TypeError(`${path} is no message`);
    for (const [key, value] of Object.entries(given)) {
      expectKept(value, (kept as Record<string, unknown>)[key], `${path}.${key}`);
    }
    return;
  }
  // Bytes are given as base64 text, enums also as numbers, and a float has fewer digits than a number.
  if (kept instanceof Uint8Array || (typeof given === "number" && typeof kept === "string")) return;
  if (typeof given === "number" && typeof kept === "number" && Math.fround(given) === kept) return;
  if (String(given) !== String(kept)) throw new TypeError(`${path} cannot hold ${typeof given}`);
}
