import { checkValue } from "@myelin/config";
import { AppError } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { expect, it } from "vitest";
import { mqttRig } from "../../../test/mqtt-rig.js";
import { JsonMessage } from "../../core/json-message.js";
import type { ProtocolContext } from "../../core/protocol.js";
import { schema } from "./config.js";
import { LooseMessages } from "./loose-messages.js";

it("an event that cannot be sent is refused and does not wait for its answer for ever", () => {
  const { admission, manager, ingress, metrics, clock, events } = mqttRig();
  const ctx = { log: silentLogger, admission, connections: manager, ingress, metrics, clock, port: "udp" };
  const { value } = checkValue(schema, { maxUnanswered: 1 });
  const heard: string[] = [];
  const loose = new LooseMessages(value!, ctx as unknown as ProtocolContext, (bytes) =>
    heard.push(bytes.toString().trim()),
  );
  const message = new JsonMessage();
  const send = (id: string): void => {
    const bytes = Buffer.from(JSON.stringify({ device: "d", path: "p", payload: 1, id }));
    message.read(bytes);
    loose.takeJson(message, bytes, { address: "127.0.0.1", port: 9, json: true, bytes: 1000 });
  };
  const append = events.append.bind(events);
  events.append = () => {
    throw new AppError("contract.bad_envelope", "does not fit");
  };
  send("a");
  events.append = append;
  send("b");
  events.settle();
  expect(heard).toEqual(['{"error":"contract.bad_envelope","id":"a"}', '{"ack":"b"}']);
});
