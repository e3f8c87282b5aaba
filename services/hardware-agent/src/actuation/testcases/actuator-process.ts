// An agent that executes one command, for tests that kill it. The parent is the unit.
import { systemClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import { Profile, type Sample } from "@myelin/profile";
import type { WriteOutcome } from "../../drivers/adapter.js";
import { diskFolder } from "../../outbox/folder.js";
import { Actuator } from "../actuator.js";
import { CommandJournal } from "../command-journal.js";

const [path = "", spec = ""] = process.argv.slice(2);
let calls = 0;
const answers = new Map<number, (answer: unknown) => void>();
const ask = <T>(what: object): Promise<T> =>
  new Promise((resolve) => {
    calls += 1;
    answers.set(calls, resolve as (answer: unknown) => void);
    process.send!({ call: calls, ...what });
  });
process.on("message", ({ call, answer }: { call: number; answer: unknown }) => answers.get(call)?.(answer));

const limits = { keys: 100, keepMs: 86_400_000 };
const journal = new CommandJournal(diskFolder(path), () => systemClock.wallMs(), limits);
const actuator = new Actuator({ journal, clock: systemClock, logger: silentLogger });
await actuator.start();
const order = {
  ...{ key: "the-only-one", command: "set", parameters: { target: 40 }, roles: [], replayed: false },
  expiresAtMs: Number.MAX_SAFE_INTEGER,
};
const result = await actuator.execute(order, {
  id: "tank-1",
  profile: new Profile("tank", JSON.parse(spec)),
  isReadOnly: false,
  latest: () => undefined,
  write: (point, value) => ask<WriteOutcome>({ write: { point, value } }),
  read: async (point) => {
    const value = await ask<number>({ read: point });
    return { point, value, quality: "good", timeUs: systemClock.wallUs() } satisfies Sample;
  },
});
process.send!({ result });
