// Writes src/reflection/generated/descriptors.ts: what a gRPC server tells of its services to clients that have no .proto.
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const OUT = fileURLToPath(new URL("../src/reflection/generated/descriptors.ts", import.meta.url));
/** The contracts that are served over gRPC; what they import comes along. */
const SERVED = ["proto/myelin/app/v1/app.proto"];

const built = execFileSync(
  "buf",
  [
    "build",
    "--exclude-source-info",
    ...SERVED.flatMap((path) => ["--path", path]),
    "--output",
    "-#format=binpb",
  ],
  { cwd: ROOT, maxBuffer: 64 * 1024 * 1024 },
);
const files = fromBinary(FileDescriptorSetSchema, built).file.map((file) => {
  // An image of buf says more of each file than a descriptor does.
  delete file.$unknown;
  return {
    name: file.name,
    imports: file.dependency,
    services: file.service.map(({ name }) => `${file.package}.${name}`),
    symbols: symbolsOf(file).sort(),
    base64: Buffer.from(toBinary(FileDescriptorProtoSchema, file)).toString("base64"),
  };
});

/** The full names of all messages, enums, services and methods. */
function symbolsOf({ package: scope, messageType, enumType, service }) {
  const messages = (list, within) =>
    list.flatMap(({ name, nestedType, enumType: enums }) => [
      `${within}.${name}`,
      ...messages(nestedType, `${within}.${name}`),
      ...enums.map((one) => `${within}.${name}.${one.name}`),
    ]);
  return [
    ...messages(messageType, scope),
    ...enumType.map(({ name }) => `${scope}.${name}`),
    ...service.flatMap(({ name, method }) => [
      `${scope}.${name}`,
      ...method.map((one) => `${scope}.${name}.${one.name}`),
    ]),
  ];
}

writeFileSync(
  OUT,
  `// Made by \`npm run generate\` from ${SERVED.join(", ")}: do not edit.
/* eslint-disable */

/** A file of the contract, for clients that ask a gRPC server what it serves. */
export interface DescribedFile {
  readonly name: string;
  readonly imports: readonly string[];
  /** Full names, as the symbols: \`package.Service\`. */
  readonly services: readonly string[];
  readonly symbols: readonly string[];
  /** A FileDescriptorProto. */
  readonly base64: string;
}

/** What is served over gRPC, and all that it imports. */
export const describedFiles: readonly DescribedFile[] = ${JSON.stringify(files, undefined, 2)};
`,
);
