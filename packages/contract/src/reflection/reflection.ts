/**
 * Tells clients without the .proto what the server serves, so that `grpcurl` needs no files: gRPC Server Reflection Protocol, v1 and v1alpha
 * (the same messages under another name), https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. The bytes are written here because
 * the library of grpc-node reads .proto files from its folder at run time, which a bundle does not have.
 */
import { BinaryReader, BinaryWriter } from "@bufbuild/protobuf/wire";
import { type DescribedFile, describedFiles } from "./generated/descriptors.js";

/** Fields of `ServerReflectionRequest` with a text; what asks for extensions is not answered, there are none here. */
const ASKED = { fileByFilename: 3, fileContainingSymbol: 4, extensionNumbers: 6, listServices: 7 } as const;
/** Fields of `ServerReflectionResponse`. */
const ANSWERED = { host: 1, request: 2, files: 4, services: 6, error: 7 } as const;

/** Codes of gRPC. */
const NOT_FOUND = 5;
const UNIMPLEMENTED = 12;

/** The methods, by version. */
export const reflectionPaths = ["v1", "v1alpha"].map(
  (version) => `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
);

/**
 * The answer to one request, both as messages.
 *
 * @throws Error when the bytes are no message.
 */
export function reflect(request: Uint8Array): Buffer {
  const { host, field, text } = readRequest(request);
  const answer = new BinaryWriter();
  answer.uint32(tag(ANSWERED.host)).string(host);
  const asked = new BinaryWriter();
  if (host !== "") asked.uint32(tag(1)).string(host);
  if (field !== 0) asked.uint32(tag(field)).string(text);
  answer.uint32(tag(ANSWERED.request)).bytes(asked.finish());
  const [kind, body] = answerTo(field, text);
  answer.uint32(tag(kind)).bytes(body);
  return Buffer.from(answer.finish());
}

function answerTo(field: number, text: string): [kind: number, body: Uint8Array] {
  if (field === ASKED.listServices) return [ANSWERED.services, services()];
  if (field !== ASKED.fileByFilename && field !== ASKED.fileContainingSymbol)
    return [ANSWERED.error, error(UNIMPLEMENTED, "only files, symbols and services can be asked for")];
  const found = describedFiles.find(({ name, symbols }) =>
    field === ASKED.fileByFilename ? name === text : symbols.includes(text),
  );
  if (found === undefined) return [ANSWERED.error, error(NOT_FOUND, `there is no ${text} here`)];
  return [ANSWERED.files, files(found)];
}

function readRequest(bytes: Uint8Array): { host: string; field: number; text: string } {
  const reader = new BinaryReader(bytes);
  const request = { host: "", field: 0, text: "" };
  while (reader.pos < reader.len) {
    const [field, wireType] = reader.tag();
    if (field === 1) request.host = reader.string();
    else if (Object.values<number>(ASKED).includes(field)) {
      request.field = field;
      request.text = reader.string();
    } else {
      reader.skip(wireType, field);
    }
  }
  return request;
}

function services(): Uint8Array {
  const list = new BinaryWriter();
  for (const name of describedFiles.flatMap((file) => file.services)) {
    list.uint32(tag(1)).bytes(new BinaryWriter().uint32(tag(1)).string(name).finish());
  }
  return list.finish();
}

/** A file comes with what it imports, so that nobody has to ask again. */
function files(first: DescribedFile): Uint8Array {
  const all = new Set([first]);
  for (const { imports } of all) {
    for (const name of imports) {
      const imported = describedFiles.find((file) => file.name === name);
      if (imported !== undefined) all.add(imported);
    }
  }
  const list = new BinaryWriter();
  for (const { base64 } of all) list.uint32(tag(1)).bytes(Buffer.from(base64, "base64"));
  return list.finish();
}

function error(code: number, message: string): Uint8Array {
  return new BinaryWriter()
    .uint32(1 << 3)
    .int32(code)
    .uint32(tag(2))
    .string(message)
    .finish();
}

/** Of a field with a length. */
function tag(field: number): number {
  return (field << 3) | 2;
}
