import { once } from "node:events";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { notify } from "./check.js";
import { IpcClient, MCPMessageHandler, McpClient, structuredFormat, temperature } from "./index.js";

// What JavaScript lets through and TypeScript would not.
type Loose = Record<string, (...args: unknown[]) => unknown>;

const ipc = (): Loose => new IpcClient({ app: "a" }) as unknown as Loose;
const mcp = (): Loose => new McpClient({ url: "tcp://127.0.0.1:1", deviceId: "d" }) as unknown as Loose;
const Ipc = IpcClient as unknown as new (options?: unknown) => unknown;
const Mcp = McpClient as unknown as new (options?: unknown) => unknown;
const Handler = MCPMessageHandler as unknown as new (...args: unknown[]) => unknown;

const CALLS: readonly (readonly [string, () => unknown])[] = [
  ["IpcClient without options", () => new Ipc()],
  ["IpcClient with null", () => new Ipc(null)],
  ["IpcClient with a misspelt option", () => new Ipc({ app: "a", subscription: ["#"] })],
  ["IpcClient with a number for a name", () => new Ipc({ app: 7 })],
  ["IpcClient with a string of subscriptions", () => new Ipc({ app: "a", subscriptions: "#" })],
  ["IpcClient with a bad filter", () => new Ipc({ app: "a", subscriptions: ["a/#/b"] })],
  [
    "IpcClient with an unknown kind",
    () => new Ipc({ app: "a", subscriptions: [{ filter: "#", kinds: ["evnt"] }] }),
  ],
  ["IpcClient with an unknown policy", () => new Ipc({ app: "a", onHandlerError: { policy: "ignore" } })],
  ["IpcClient with a text for onError", () => new Ipc({ app: "a", onError: "log" })],
  ["onMessage without a function", () => ipc().onMessage!()],
  ["onBatch with an object", () => ipc().onBatch!({})],
  ["serve without a name", () => ipc().serve!(undefined, () => 1)],
  ["serve without a function", () => ipc().serve!("m")],
  ["start with a number", () => ipc().start!(5_000)],
  ["connect with an object", () => ipc().connect!({ timeoutMs: 1 })],
  ["reconfigure without a change", () => ipc().reconfigure!()],
  ["reconfigure with a bad option", () => ipc().reconfigure!({ concurrency: 0 })],
  ["publish of nothing", () => ipc().publish!()],
  ["publish without a path", () => ipc().publish!({ payload: "x" })],
  ["publish without a payload", () => ipc().publish!({ path: "p" })],
  ["publish of a cycle", () => ipc().publish!({ path: "p", payload: cycle() })],
  ["publish of a bad time", () => ipc().publish!({ path: "p", payload: "x", sourceTime: new Date("no") })],
  ["publish with a number for a device", () => ipc().publish!({ path: "p", payload: "x", deviceId: 7 })],
  ["publish of a bad kind", () => ipc().publish!({ path: "p", payload: "x", kind: "reading" })],
  ["publish with headers of numbers", () => ipc().publish!({ path: "p", payload: "x", headers: { a: 1 } })],
  ["publishEvents of one message", () => ipc().publishEvents!({ path: "p", payload: "x" })],
  ["publishEvent of nothing", () => ipc().publishEvent!()],
  ["send to nobody", () => ipc().send!(undefined, "p", "x")],
  ["send without a payload", () => ipc().send!("d", "p")],
  ["send with null for options", () => ipc().send!("d", "p", "x", null)],
  ["send with a text for a time", () => ipc().send!("d", "p", "x", { timeoutMs: "5s" })],
  ["request of nothing", () => ipc().request!()],
  ["request of a bad target", () => ipc().request!("alarms/acknowledge")],
  ["McpClient.onMessage with a text", () => mcp().onMessage!("x")],
  ["McpClient.onState without a function", () => mcp().onState!()],
  ["McpClient.onError without a function", () => mcp().onError!()],
  ["McpClient.messages with a number", () => mcp().messages!(1)],
  ["McpClient.start with a number", () => mcp().start!(1)],
  ["McpClient.send without a type", () => mcp().send!()],
  ["McpClient.send without a payload", () => mcp().send!("t")],
  ["McpClient.send on an unknown lane", () => mcp().send!("t", "x", { lane: "fast" })],
  ["a handler without a type", () => new Handler("")],
  ["a handler without a format", () => new Handler("t")],
  ["parse of nothing", () => (temperature as unknown as Loose).parse!()],
  ["an unknown format", () => structuredFormat("yaml" as "json", (value) => value)],
];

function cycle(): object {
  const value: Record<string, unknown> = {};
  value.self = value;
  return value;
}

const outcome = async (call: () => unknown): Promise<unknown> => {
  try {
    return await call();
  } catch (thrown) {
    return thrown;
  }
};

describe("what cannot be is refused by a sentence", () => {
  it.each(CALLS)("%s", async (_what, call) => {
    const error = await outcome(call);
    expect(AppError.is(error) && error.code).toBe("internal.invalid_argument");
    expect((error as AppError).message).toMatch(/\w+ \w+/);
  });

  it.each([
    [undefined],
    [null],
    [{}],
    [{ url: "tcp://h" }],
    [{ url: "tcp://h", deviceId: 7 }],
    [{ deviceId: "d" }],
  ])("McpClient with %j", async (options) => {
    const error = await outcome(() => new Mcp(options));
    expect(AppError.is(error) && error.code).toBe("config.invalid");
  });
});

it("an IpcClient whose start was aborted before it began throws the reason, and does not connect", async () => {
  const client = new IpcClient({ app: "a", target: "127.0.0.1:1" });
  const reason = new AppError("operation.aborted", "enough");
  await expect(client.start(AbortSignal.abort(reason))).rejects.toBe(reason);
  expect(client.state).toBe("idle");
});

it("an IpcClient whose start is aborted gives up with the reason, and is stopped", async () => {
  const aborter = new AbortController();
  const reason = new AppError("operation.aborted", "enough");
  const client = new IpcClient({
    app: "a",
    target: "127.0.0.1:1",
    onStateChange: (state) => state === "reconnecting" && aborter.abort(reason),
  });
  await expect(client.start(aborter.signal)).rejects.toBe(reason);
  await client.stop();
  expect(client.state).toBe("stopped");
});

it("McpClient.start needs no signal", async () => {
  const client = new McpClient({ url: "tcp://127.0.0.1:1", deviceId: "d" });
  const failed = new Promise<AppError>((resolve) => client.onError(resolve));
  const started = outcome(() => client.start());
  expect((await failed).code).toBe("rpc.unavailable");
  await client.stop();
  expect(await started).toMatchObject({ code: "operation.aborted" });
});

it("a callback of the application that throws becomes a warning of the process", async () => {
  const warned = once(process, "warning");
  notify("onError", () => {
    throw new Error("in the callback");
  });
  const [warning] = await warned;
  expect(warning).toMatchObject({
    code: "MYELIN_CALLBACK",
    message: expect.stringContaining("in the callback"),
  });
});
