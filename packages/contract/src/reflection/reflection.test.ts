import { create, createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import protobuf from "protobufjs";
import { describe, expect, it } from "vitest";
import { reflect } from "./reflection.js";

/** As the protocol has it; the parts of it that are answered. */
const PROTO = protobuf.parse(`
  syntax = "proto3";
  message Request {
    string host = 1;
    oneof message_request {
      string file_by_filename = 3;
      string file_containing_symbol = 4;
      string all_extension_numbers_of_type = 6;
      string list_services = 7;
    }
  }
  message Response {
    string valid_host = 1;
    Request original_request = 2;
    oneof message_response {
      Files file_descriptor_response = 4;
      Services list_services_response = 6;
      Problem error_response = 7;
    }
  }
  message Files { repeated bytes file_descriptor_proto = 1; }
  message Services { repeated Service service = 1; }
  message Service { string name = 1; }
  message Problem { int32 error_code = 1; string error_message = 2; }
`).root;
const Request = PROTO.lookupType("Request");
const Response = PROTO.lookupType("Response");

interface Answer {
  readonly originalRequest: object;
  readonly fileDescriptorResponse?: { fileDescriptorProto: Uint8Array[] };
  readonly listServicesResponse?: { service: { name: string }[] };
  readonly errorResponse?: { errorCode: number; errorMessage: string };
}

const ask = (request: object): Answer =>
  Response.toObject(Response.decode(reflect(Request.encode(Request.fromObject(request)).finish()))) as Answer;

const filesOf = (request: object): Uint8Array[] | undefined =>
  ask(request).fileDescriptorResponse?.fileDescriptorProto;

describe("what a server tells of itself", () => {
  it("lists the services, and describes each by its name so that a client can call it", () => {
    const list = ask({ host: "h", listServices: "*" });
    expect(list).toMatchObject({ validHost: "h", originalRequest: { listServices: "*" } });
    expect(list.listServicesResponse?.service).toEqual([{ name: "myelin.app.v1.AppService" }]);
    const files = filesOf({ fileContainingSymbol: "myelin.app.v1.AppService" }) ?? [];
    const file = files.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
    const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: file.reverse() }));
    const methods = registry.getService("myelin.app.v1.AppService")?.methods;
    expect(methods?.map(({ name, methodKind }) => [name, methodKind])).toEqual([
      ["Connect", "bidi_streaming"],
    ]);
    expect(methods?.[0]?.input.fields.map(({ name }) => name)).toContain("publish");
  });

  it("answers by file, by message and by method alike, with what is imported", () => {
    const [file, message, method] = [
      { fileByFilename: "myelin/app/v1/app.proto" },
      { fileContainingSymbol: "myelin.app.v1.AppFrame" },
      { fileContainingSymbol: "myelin.app.v1.AppService.Connect" },
    ].map(filesOf);
    expect(file).toHaveLength(2);
    expect([message, method]).toEqual([file, file]);
    expect(filesOf({ fileContainingSymbol: "myelin.envelope.v1.Lane" })).toHaveLength(1);
  });

  it.each([
    [{ fileContainingSymbol: "nobody.knows" }, 5],
    [{ fileByFilename: "secret.proto" }, 5],
    [{ allExtensionNumbersOfType: "myelin.app.v1.AppFrame" }, 12],
    [{}, 12],
  ])("says of %j what is wrong with it", (request, code) => {
    const { originalRequest, errorResponse } = ask(request);
    expect([originalRequest, errorResponse?.errorCode]).toEqual([request, code]);
  });

  it("answers any bytes, or throws an error", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        let answer: Buffer;
        try {
          answer = reflect(bytes);
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(Error);
          return;
        }
        expect(Response.decode(answer)).toBeDefined();
      }),
    );
  });
});
