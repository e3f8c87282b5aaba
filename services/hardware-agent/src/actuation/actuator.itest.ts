import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { DeviceProfileSpec } from "@myelin/config";
import { sourceArguments, tempDir, waitFor } from "@myelin/testkit";
import { expect, test } from "vitest";
import type { CommandResult } from "./command-result.js";

const PROGRAM = new URL("./testcases/actuator-process.ts", import.meta.url);
const number = { type: "number", whenMissing: "ignore" } as const;
const SPEC: DeviceProfileSpec = {
  payloads: [],
  points: { level: number, lock: number },
  commands: {
    set: {
      parameters: { target: { type: "number", required: true, maxLength: 256 } },
      ...{ risk: "high", redelivery: "untilAnswered" },
      verify: { point: "level", equals: { parameter: "target" }, within: 2_000 },
      writes: [
        { point: "lock", set: { number: 85 }, wait: 0 },
        { point: "level", set: { parameter: "target" }, wait: 0 },
      ],
    },
  },
};

interface Message {
  readonly call: number;
  readonly write?: { point: string; value: number };
  readonly read?: string;
  readonly result?: CommandResult;
}

/** Outlives its agents and counts what they write. */
class Unit {
  readonly values = new Map<string, number>();
  readonly written: string[] = [];
  result: CommandResult | undefined;

  /** @param killAt what the agent is killed at, before or after the unit has done it */
  run(path: string, killAt: string | undefined): ChildProcess {
    this.result = undefined;
    const [program, ...args] = sourceArguments(PROGRAM).reverse();
    const child = fork(program!, [path, JSON.stringify(SPEC)], { execArgv: args.reverse() });
    child.on("message", ({ call, write, read, result }: Message) => {
      const what = write !== undefined ? `write ${write.point}` : read !== undefined ? "read" : "result";
      if (killAt === `before ${what}`) {
        child.kill("SIGKILL");
        return;
      }
      if (write !== undefined) {
        this.written.push(write.point);
        this.values.set(write.point, write.value);
      }
      this.result = result;
      if (killAt === `after ${what}`) child.kill("SIGKILL");
      else if (result === undefined) {
        const answer = write === undefined ? (this.values.get(read!) ?? 0) : { outcome: "written" };
        child.send({ call, answer }, () => {});
      } else child.kill("SIGKILL");
    });
    return child;
  }
}

test.each([
  ["before write lock", [], "unknown"],
  ["after write lock", ["lock"], "unknown"],
  ["before write level", ["lock"], "unknown"],
  ["after write level", ["lock", "level"], "verified"],
  ["before read", ["lock", "level"], "verified"],
  ["after read", ["lock", "level"], "verified"],
  ["after result", ["lock", "level"], "verified"],
])(
  "a command whose agent is killed %s is not executed again and is settled by reading back",
  async (killAt, written, state) => {
    await using dir = await tempDir("actuation");
    const unit = new Unit();
    await once(unit.run(dir.path, killAt), "exit");
    await once(unit.run(dir.path, undefined), "exit");
    await waitFor(() => unit.result !== undefined, { what: "the result" });
    expect(unit.result).toMatchObject({ state });
    expect(unit.written).toEqual(written);
  },
  120_000,
);
