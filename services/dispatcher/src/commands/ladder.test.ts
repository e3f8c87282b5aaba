import { command as wire } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  ANSWER_WITHIN_US,
  applyProgress,
  type CommandEvent,
  dueUs,
  isTerminal,
  isUntouched,
  progressOf,
  stateOf,
} from "./ladder.js";

const { State } = wire;
const CREATED_US = 1_000_000_000;
const TTL_US = 5_000_000;

function commandOf(overrides: Partial<wire.Command> = {}): wire.Command {
  return wire.Command.fromPartial({
    id: "0-abcdefgh",
    createdAtUs: CREATED_US,
    expiresAtUs: CREATED_US + TTL_US,
    verify: { point: "t", expected: { $case: "number", value: 20 }, tolerance: 0.5, withinMs: 2_000 },
    steps: [{ state: State.ACCEPTED, atUs: CREATED_US }],
    ...overrides,
  });
}

function after(command: wire.Command, ...events: readonly CommandEvent[]): wire.Command {
  for (const event of events) {
    const made = progressOf(command, event);
    if (made !== undefined) applyProgress(command, made);
  }
  return command;
}

const told = ({ steps }: wire.Command) =>
  steps.map(({ state, cause }) => `${wire.stateToJSON(state).slice(6)}${cause === "" ? "" : ` ${cause}`}`);
const at = (ms: number): number => CREATED_US + ms * 1_000;
const sample = (value: number, ms: number, quality: "good" | "uncertain" = "good") => ({
  point: "t",
  value,
  quality,
  timeUs: at(ms),
});
const attempt = { kind: "attempt", atUs: at(1) } as const;
const delivered = { kind: "delivered", atUs: at(2) } as const;
const answer = (status: "SUCCEEDED" | "FAILED" | "REJECTED" | "IN_PROGRESS" | "TIMED_OUT", ms = 3) =>
  ({ kind: "answer", atUs: at(ms), status, message: "" }) as const;
const report = (value: number, ms: number, quality?: "uncertain") =>
  ({ kind: "report", atUs: at(ms), sample: sample(value, ms, quality) }) as const;
const time = (ms: number, lastReport = undefined as ReturnType<typeof sample> | undefined) =>
  ({ kind: "time", atUs: at(ms), lastReport }) as const;

describe("the ladder", () => {
  it("leads to VERIFIED when the device does as it was told and reports it", () => {
    const command = after(commandOf(), attempt, delivered, answer("SUCCEEDED"), report(20.4, 4));
    expect(told(command)).toEqual(["ACCEPTED", "ROUTED", "DELIVERED", "EXECUTED", "VERIFIED"]);
  });

  it("takes the first good report that was measured after the execution, and no other", () => {
    const early = after(commandOf(), attempt, answer("SUCCEEDED"), report(20, 2), report(20, 5, "uncertain"));
    expect(stateOf(early)).toBe(State.EXECUTED);
    expect(told(after(early, report(21, 6), report(20, 7)))).toEqual([
      "ACCEPTED",
      "ROUTED",
      "DELIVERED",
      "EXECUTED",
      "MISMATCH other_value",
    ]);
  });

  it("goes by the time at which the device answered, though it is heard of its delivery only afterwards", () => {
    const late = { kind: "delivered", atUs: at(30) } as const;
    const command = after(commandOf(), attempt, late, answer("SUCCEEDED", 3), report(20, 5));
    expect(stateOf(command)).toBe(State.VERIFIED);
  });

  it("gives a device time to settle where its profile says so", () => {
    const command = commandOf();
    command.verify!.settleMs = 500;
    after(command, attempt, answer("SUCCEEDED"), report(11, 100));
    expect(stateOf(command)).toBe(State.EXECUTED);
    expect(stateOf(after(command, report(20, 503)))).toBe(State.VERIFIED);
  });

  it("ends EXECUTED where nothing can be read back", () => {
    const command = after(commandOf({ verify: undefined }), attempt, answer("SUCCEEDED"));
    expect([isTerminal(command), stateOf(command)]).toEqual([true, State.EXECUTED]);
  });

  it.each([
    ["what nobody took", [], "EXPIRED ttl"],
    ["what came back", [attempt, { kind: "returned", atUs: at(2), mayHaveRun: false }], "EXPIRED ttl"],
    ["what may have arrived", [attempt], "FAILED outcome_unknown"],
    ["what arrived", [attempt, delivered], "FAILED outcome_unknown"],
    ["what is not reported", [attempt, answer("SUCCEEDED")], "FAILED outcome_unknown"],
  ] as const)("lets time end %s", (_what, events, last) => {
    const command = after(commandOf(), ...events);
    const due = dueUs(command)!;
    after(command, { kind: "time", atUs: due - 1, lastReport: undefined });
    expect(isTerminal(command)).toBe(false);
    after(command, { kind: "time", atUs: due, lastReport: undefined });
    expect(told(command).at(-1)).toBe(last);
  });

  it("waits for an answer beyond the time to live when the device got it at its very end", () => {
    const command = after(commandOf(), { kind: "attempt", atUs: at(4_999) });
    expect(dueUs(command)).toBe(at(4_999) + ANSWER_WITHIN_US);
  });

  it("reads back what has not been answered", () => {
    const command = after(commandOf(), attempt, time(20_000, sample(20, 9)));
    expect(told(command).slice(-2)).toEqual(["EXECUTED read_back", "VERIFIED read_back"]);
    const before = after(commandOf(), attempt, time(20_000, sample(20, 0)));
    expect(told(before).at(-1)).toBe("FAILED outcome_unknown");
  });

  it("can be left only before the device may have it", () => {
    const cancel = { kind: "cancel", atUs: at(1), message: "" } as const;
    expect(told(after(commandOf(), cancel)).at(-1)).toBe("REJECTED cancelled");
    expect(progressOf(after(commandOf(), attempt), cancel)).toBeUndefined();
    const returned = { kind: "returned", atUs: at(2), mayHaveRun: false } as const;
    expect(told(after(commandOf(), attempt, returned, cancel)).at(-1)).toBe("REJECTED cancelled");
    expect(progressOf(after(commandOf(), attempt, delivered), cancel)).toBeUndefined();
  });

  it.each([
    ["REJECTED", "REJECTED device_rejected"],
    ["FAILED", "FAILED device_failed"],
    ["TIMED_OUT", "FAILED device_timed_out"],
  ] as const)("ends with what the device says: %s", (status, last) => {
    expect(told(after(commandOf(), attempt, answer("IN_PROGRESS"), answer(status))).at(-1)).toBe(last);
  });

  it("takes no answer to what was never given to the device", () => {
    expect(progressOf(commandOf(), answer("SUCCEEDED"))).toBeUndefined();
  });

  it("ends in exactly one terminal state, whatever happens in whatever order, crashes included", () => {
    const anyMs = fc.integer({ min: -1_000, max: 30_000 });
    const anyEvent: fc.Arbitrary<CommandEvent | "crash"> = fc.oneof(
      fc.constant("crash" as const),
      anyMs.map((ms) => ({ kind: "attempt", atUs: at(ms) }) as const),
      fc
        .tuple(anyMs, fc.boolean())
        .map(([ms, mayHaveRun]) => ({ kind: "returned", atUs: at(ms), mayHaveRun }) as const),
      anyMs.map((ms) => ({ kind: "delivered", atUs: at(ms) }) as const),
      fc
        .tuple(anyMs, fc.constantFrom("SUCCEEDED", "FAILED", "REJECTED", "IN_PROGRESS", "TIMED_OUT"))
        .map(([ms, status]) => ({ kind: "answer", atUs: at(ms), status, message: "" }) as const),
      fc.tuple(anyMs, fc.constantFrom(19, 20, 21)).map(([ms, value]) => report(value, ms)),
      anyMs.map((ms) => ({ kind: "cancel", atUs: at(ms), message: "" }) as const),
      anyMs.map((ms) => ({ kind: "denied", atUs: at(ms), message: "" }) as const),
      anyMs.map((ms) => time(ms)),
    );
    fc.assert(
      fc.property(fc.array(anyEvent, { maxLength: 30 }), fc.boolean(), (events, canBeRead) => {
        const command = commandOf(canBeRead ? {} : { verify: undefined });
        // What was stored last; a crash goes back to it. An attempt is stored before it is made.
        let stored = wire.Command.encode(command).finish();
        let now = command;
        let given = 0;
        for (const event of events) {
          if (event === "crash") {
            now = wire.Command.decode(stored);
            continue;
          }
          const wasTerminal = isTerminal(now);
          const wasUntouched = isUntouched(now);
          const made = progressOf(now, event);
          if (made === undefined) continue;
          expect(wasTerminal).toBe(false);
          if (event.kind === "attempt") given += 1;
          if (event.kind === "cancel" || event.kind === "denied") expect(wasUntouched).toBe(true);
          applyProgress(now, made);
          if (event.kind === "attempt" || events.length % 2 === 0) stored = wire.Command.encode(now).finish();
        }
        for (let turn = 0; turn < 3; turn++) {
          const due = dueUs(now);
          if (due !== undefined) after(now, { kind: "time", atUs: due, lastReport: undefined });
        }
        expect(isTerminal(now)).toBe(true);
        expect(dueUs(now)).toBeUndefined();
        const { steps } = now;
        const terminals = steps.filter((_, i) =>
          isTerminal({ steps: steps.slice(0, i + 1), verify: now.verify }),
        );
        expect(terminals).toHaveLength(1);
        const ladder = steps.map(({ state }) => state).filter((state) => state <= State.VERIFIED);
        expect(ladder).toEqual([...new Set(ladder)].sort((a, b) => a - b));
        expect(steps.map(({ atUs }) => atUs)).toEqual(steps.map(({ atUs }) => atUs).sort((a, b) => a - b));
        const last = stateOf(now);
        if (last === State.EXPIRED && given > 0)
          expect(events.some((event) => event !== "crash" && event.kind === "returned")).toBe(true);
      }),
      { numRuns: 2_000 },
    );
  });
});
