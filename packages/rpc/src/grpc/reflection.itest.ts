import { Client, credentials, Metadata, type ServiceError, status } from "@grpc/grpc-js";
import { waitFor } from "@myelin/testkit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { FrameServer } from "../frame-stream.js";
import { createGrpcServer } from "./grpc-server.js";

let server: FrameServer;
let client: Client;
beforeAll(async () => {
  server = createGrpcServer({
    host: "127.0.0.1",
    port: 0,
    maxFrameBytes: 100_000,
    stopTimeoutMs: 500,
    onStream: (stream) => stream.close(),
  });
  await server.start(new AbortController().signal);
  client = new Client(server.address, credentials.createInsecure());
});
afterAll(async () => {
  client.close();
  await server.stop();
});

const same = (bytes: Buffer): Buffer => bytes;
const open = (version: string) =>
  client.makeBidiStreamRequest(
    `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
    same,
    same,
    new Metadata(),
    { deadline: Date.now() + 30_000 },
  );

/** The answers to requests that are sent on one stream. */
async function ask(version: string, ...requests: Buffer[]): Promise<Buffer[]> {
  const call = open(version);
  for (const request of requests) call.write(request);
  call.end();
  const answers: Buffer[] = [];
  for await (const bytes of call) answers.push(bytes);
  return answers;
}

/** `list_services`. */
const LIST = Buffer.from([0x3a, 0]);

describe.each(["v1", "v1alpha"])("reflection %s", (version) => {
  it("answers every request on a stream", async () => {
    const answers = await ask(version, LIST, LIST);
    expect(answers.map(String)).toEqual(Array(2).fill(expect.stringContaining("myelin.app.v1.AppService")));
  });

  it("refuses what is no request", async () => {
    const call = open(version);
    call.write(Buffer.from([0x3a, 0xff]));
    const refusal = await new Promise<ServiceError>((resolve) => call.on("error", resolve));
    expect(refusal.code).toBe(status.INVALID_ARGUMENT);
  });
});

it("is bounded in streams, and free again when they have ended", async () => {
  const calls = Array.from({ length: 65 }, () => open("v1"));
  const refusal = await new Promise<ServiceError>((resolve) => {
    for (const call of calls) call.on("error", resolve).resume();
  });
  expect(refusal.code).toBe(status.RESOURCE_EXHAUSTED);
  for (const call of calls) call.cancel();
  await waitFor(async () => (await ask("v1", LIST).catch(() => [])).length === 1, {
    what: "a stream to be let in again",
  });
});
