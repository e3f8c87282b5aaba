import type { CommandState, CommandWish, DeviceCommand } from "@myelin/bus";
import { AppError } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { CommandDriver, type Failure } from "./command-driver.js";
import type { Setter } from "./setters.js";

const KEY = { tenant: "", device: "d", name: "" };
const SETTER: Setter = { point: "t", command: "heat", parameter: "to", tolerance: 0 };
const OTHER: Setter = { point: "fan", command: "blow", parameter: "speed", tolerance: 0 };

/** Commands that end when the test says so. */
function setUp() {
  const all: DeviceCommand[] = [];
  const ends: { readonly failure: Failure | undefined; readonly isOld: boolean }[] = [];
  const cancelled: string[] = [];
  const waiting = new Map<string, (command: DeviceCommand) => void>();
  const ending = new AbortController();
  const state: { refuse: AppError | undefined } = { refuse: undefined };
  const make = ({ name, parameters = {}, author }: Pick<CommandWish, "name" | "parameters" | "author">) => {
    const id = `c${all.length}`;
    const made = {
      id,
      tenant: "",
      device: "d",
      name,
      parameters,
      author,
      state: "accepted",
      isTerminal: false,
    };
    const command = { ...made, steps: [] } as unknown as DeviceCommand;
    all.push(command);
    return command;
  };
  const driver = new CommandDriver({
    signal: ending.signal,
    commands: {
      submit: async (wish) => {
        if (state.refuse !== undefined) throw state.refuse;
        return make(wish);
      },
      list: async () => ({ commands: all.filter(({ isTerminal }) => !isTerminal), more: false }),
      reached: ({ id }) => new Promise((resolve) => waiting.set(id, resolve)),
      cancel: async (_tenant, id) => {
        cancelled.push(id);
        return all.find((one) => one.id === id)!;
      },
    },
    ended: (_key, failure, isOld) => ends.push({ failure, isOld }),
  });
  /** All that follows from what was done has been done. */
  const settled = () => new Promise<void>((resolve) => setImmediate(resolve));
  return {
    driver,
    all,
    ends,
    cancelled,
    state,
    make,
    ending,
    async drive(value: number, setter = SETTER) {
      driver.drive(KEY, [{ setter, value }]);
      await settled();
    },
    async end(id: string, to: CommandState, cause = "", message = "") {
      const at = all.findIndex((one) => one.id === id);
      all[at] = { ...all[at]!, state: to, isTerminal: true, steps: [{ state: to, atUs: 1, cause, message }] };
      waiting.get(id)!(all[at]!);
      await settled();
    },
  };
}

describe("a point that is driven", () => {
  it("has one command under way, whatever is asked meanwhile, and the device is free when it has ended", async () => {
    const { driver, drive, end, all, ends } = setUp();
    await drive(20);
    await drive(20);
    expect([all.map(({ parameters }) => parameters), driver.isBusy(KEY)]).toEqual([[{ to: 20 }], true]);
    await end("c0", "verified");
    expect([ends, driver.isBusy(KEY)]).toEqual([[{ failure: undefined, isOld: false }], false]);
  });

  it("is driven beside the other points of the device", async () => {
    const { driver, drive, end, all } = setUp();
    await drive(20);
    await drive(3, OTHER);
    expect(all.map(({ name }) => name)).toEqual(["heat", "blow"]);
    await end("c0", "verified");
    expect(driver.isBusy(KEY)).toBe(true);
    await end("c1", "verified");
    expect(driver.isBusy(KEY)).toBe(false);
  });

  it("gets no second command for another value before the first has ended, which is cancelled if it can be", async () => {
    const { drive, end, all, ends, cancelled } = setUp();
    await drive(20);
    await drive(25);
    await drive(26);
    expect([all.length, cancelled]).toEqual([1, ["c0"]]);
    await end("c0", "rejected", "cancelled");
    expect(ends).toEqual([{ failure: expect.anything() as Failure, isOld: true }]);
    await drive(26);
    expect(all.map(({ parameters }) => parameters)).toEqual([{ to: 20 }, { to: 26 }]);
  });

  it("takes on the command that an earlier owner has given, and no other", async () => {
    const { drive, end, all, make, ends } = setUp();
    make({ name: "heat", parameters: { to: 20 }, author: { kind: "user", name: "ada", roles: [] } });
    make({ name: "heat", parameters: { to: 20 }, author: { kind: "shadow", name: "desired", roles: [] } });
    await drive(20);
    expect(all.length).toBe(2);
    await end("c1", "verified");
    expect(ends).toEqual([{ failure: undefined, isOld: false }]);
  });

  it.each<[CommandState, string, string, Failure]>([
    [
      "mismatch",
      "other_value",
      "t is 3",
      { reason: "heat ended mismatch (other_value: t is 3)", isRejected: false },
    ],
    [
      "rejected",
      "device_rejected",
      "",
      { reason: "heat ended rejected (device_rejected)", isRejected: true },
    ],
    ["expired", "ttl", "", { reason: "heat ended expired (ttl)", isRejected: false }],
  ])("tells how a command ended that ended %s", async (state, cause, message, failure) => {
    const { drive, end, ends } = setUp();
    await drive(20);
    await end("c0", state, cause, message);
    expect(ends).toEqual([{ failure, isOld: false }]);
  });

  it("tells why a command was refused", async () => {
    const { drive, state, ends, driver } = setUp();
    state.refuse = new AppError("command.denied", "range: 900 is above 100");
    await drive(900);
    const failure = { reason: "heat was refused: range: 900 is above 100", isRejected: false };
    expect([ends, driver.isBusy(KEY)]).toEqual([[{ failure, isOld: false }], false]);
  });

  it("is nobody's business any more when the partition is given up", async () => {
    const { drive, end, ends, ending } = setUp();
    await drive(20);
    ending.abort();
    await end("c0", "verified");
    expect(ends).toEqual([]);
  });
});
