import { describe, expect, it } from "vitest";
import { Outbox } from "./outbox.js";
import { PACKET } from "./packets.table.js";
import { REASON, type Reason, sayable } from "./reason-codes.table.js";
import { writeAck, writeConnackRefuse, writeDisconnect } from "./writer.js";

const ALL = Object.values(REASON).filter((reason) => reason >= 0x80);
/** Tables 3-1, 3-4 and 3-10 of MQTT 5, as far as a server may send them. */
const TABLES = {
  connack: "80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f",
  answer: "80 83 87 90 91 97 99",
  disconnect: "80 81 82 83 87 89 8b 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2",
};

const bytesOf = (write: (out: Outbox) => void): Buffer => {
  const out = new Outbox();
  write(out);
  return out.take();
};

describe("reason codes of refusals", () => {
  it.each([
    ["connack", (r: Reason) => bytesOf((out) => writeConnackRefuse(out, 5, r))[3]],
    ["answer", (r: Reason) => bytesOf((out) => writeAck(out, PACKET.puback, 1, r))[4]],
    ["answer", (r: Reason) => bytesOf((out) => writeAck(out, PACKET.pubrec, 1, r))[4]],
    ["disconnect", (r: Reason) => bytesOf((out) => writeDisconnect(out, r))[2]],
  ] as const)("are those of the packet's own table, in %s", (packet, written) => {
    const table = TABLES[packet].split(" ").map((code) => Number.parseInt(code, 16));
    for (const reason of ALL) {
      expect(table).toContain(written(reason));
      if (table.includes(reason)) expect(written(reason)).toBe(reason);
    }
  });

  it.each([
    ["connack", "messageRateTooHigh", "connectionRateExceeded"],
    ["answer", "messageRateTooHigh", "quotaExceeded"],
    ["connack", "serverShuttingDown", "serverUnavailable"],
    ["answer", "packetTooLarge", "quotaExceeded"],
    ["disconnect", "badUserNameOrPassword", "notAuthorized"],
    ["connack", "sessionTakenOver", "unspecified"],
  ] as const)("come nearest where %s cannot say %s", (packet, reason, instead) => {
    expect(sayable(packet, REASON[reason])).toBe(REASON[instead]);
  });

  it("stay what they are where nothing is refused", () => {
    expect(sayable("answer", REASON.noMatchingSubscribers)).toBe(REASON.noMatchingSubscribers);
    const pubrel = bytesOf((out) => writeAck(out, PACKET.pubrel, 1, REASON.packetIdNotFound));
    expect(pubrel[4]).toBe(REASON.packetIdNotFound);
  });
});
