/** Loads the kinds of steps, and gives them their tools. */
import { type Bus, DeviceCommandClient, FlowClient } from "@myelin/bus";
import { app, fromAppErrorMessage, subjects } from "@myelin/contract";
import { AppError, type Clock } from "@myelin/kernel";
import { steps } from "./steps/registry.js";
import type { AppCall, StepAction, StepTools } from "./steps/step.js";

/** By kind; nothing is opened. */
export async function loadSteps(
  bus: Bus,
  partitions: number,
  clock: Clock,
): Promise<ReadonlyMap<string, StepAction>> {
  const flows = new FlowClient(bus, partitions, clock);
  const tools: StepTools = {
    clock,
    commands: new DeviceCommandClient(bus, partitions, clock),
    flows,
    awaited: (wanted, signal) => flows.awaited(wanted, signal),
    callApp: (call) => callApp(bus, call),
  };
  const actions = new Map<string, StepAction>();
  for (const [kind, load] of Object.entries(steps)) {
    const { plugin } = await load();
    if (plugin.kind !== kind)
      throw new AppError("internal.unreachable", `the step in folder ${kind} calls itself ${plugin.kind}`);
    actions.set(kind, plugin.create(tools));
  }
  return actions;
}

async function callApp(bus: Bus, { app: name, method, payload, timeoutMs }: AppCall): Promise<unknown> {
  const request: app.Request = {
    id: 0,
    target: method,
    payload: Buffer.from(JSON.stringify(payload)),
    contentType: "application/json",
    timeoutMs,
    traceparent: "",
    from: "",
  };
  const data = await bus.request(subjects.appRequest(name), app.Request.encode(request).finish(), timeoutMs);
  const response = app.Response.decode(data);
  if (response.error !== undefined) throw fromAppErrorMessage(response.error);
  const text = Buffer.from(response.payload).toString("utf8");
  if (text === "") return null;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // An application may answer with text.
    return text;
  }
}
