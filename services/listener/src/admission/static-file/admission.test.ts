import { checkValue } from "@myelin/config";
import { FakeClock } from "@myelin/kernel";
import { silentLogger } from "@myelin/observability";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { hashPassword, tryParseHash, verifyPassword } from "../../core/password.js";
import { Acl, aclSchema, covers, overlaps } from "./acl.js";
import { StaticFileAdmission } from "./static-file-admission.js";
import { PasswordChecker, Users } from "./users.js";

const identity = { tenant: "", deviceId: "dev1", user: "ann", clientId: "cli1" };

function aclOf(...rules: object[]): Acl {
  const { value, problems } = checkValue(aclSchema, { rules });
  expect(problems).toEqual([]);
  return new Acl(value);
}

describe("Acl", () => {
  it("lets the first rule that fits decide", () => {
    const acl = aclOf(
      { effect: "deny", topics: ["plant/secret/#"] },
      { effect: "allow", users: ["ann"], topics: ["plant/#"] },
      { effect: "deny", devices: ["dev*"] },
      { effect: "allow" },
    );
    expect(acl.decide("publish", identity, "plant/secret/x")).toBe(false);
    expect(acl.decide("publish", identity, "plant/a")).toBe(true);
    expect(acl.decide("publish", identity, "other")).toBe(false);
    expect(acl.decide("publish", { ...identity, deviceId: "x" }, "other")).toBe(true);
  });

  it("says nothing where no rule fits", () => {
    const acl = aclOf({ effect: "allow", action: "publish", topics: ["a"] });
    expect(acl.decide("subscribe", identity, "a")).toBeUndefined();
    expect(acl.decide("publish", identity, "b")).toBeUndefined();
  });

  it("fills placeholders with one level and never with more", () => {
    const acl = aclOf({ effect: "allow", topics: ["devices/%d/#", "u/%u", "c/%c"] });
    expect(acl.decide("publish", identity, "devices/dev1/a/b")).toBe(true);
    expect(acl.decide("publish", identity, "devices/dev2/a")).toBeUndefined();
    expect(acl.decide("publish", identity, "u/ann")).toBe(true);
    expect(acl.decide("publish", identity, "c/cli1")).toBe(true);
    for (const deviceId of ["+", "#", "a/b", ""]) {
      for (const topic of ["devices/x/y", "devices/+/#", "devices/a/b/c", "devices//x"]) {
        expect(acl.decide("subscribe", { ...identity, deviceId }, topic)).toBeUndefined();
      }
    }
  });

  it("does not let a wide filter see what a narrow rule denies", () => {
    const acl = aclOf({ effect: "deny", topics: ["a/secret"] }, { effect: "allow", topics: ["a/#"] });
    expect(acl.decide("subscribe", identity, "a/+")).toBe(false);
    expect(acl.decide("subscribe", identity, "#")).toBe(false);
    expect(acl.decide("subscribe", identity, "a/open")).toBe(true);
    expect(acl.decide("subscribe", identity, "+/open")).toBeUndefined();
  });

  it("agrees with trying every topic", () => {
    const level = fc.constantFrom("a", "b", "+");
    const filter = fc
      .tuple(fc.array(level, { maxLength: 3 }), fc.boolean())
      .map(([levels, hash]) => (hash || levels.length === 0 ? [...levels, "#"] : levels));
    const topics: string[][] = [];
    for (let n = 1; n <= 4; n++) {
      for (let i = 0; i < 3 ** n; i++) {
        topics.push(Array.from({ length: n }, (_, k) => ["a", "b", "c"][Math.floor(i / 3 ** k) % 3]!));
      }
    }
    const matches = (f: readonly string[], t: readonly string[]): boolean => covers(f, t, identity);
    fc.assert(
      fc.property(filter, filter, (rule, wanted) => {
        const hits = topics.filter((t) => matches(wanted, t));
        expect(overlaps(rule, wanted, identity, true)).toBe(hits.some((t) => matches(rule, t)));
        if (covers(rule, wanted, identity)) expect(hits.every((t) => matches(rule, t))).toBe(true);
      }),
    );
  });

  it("does not match topics of the server by a leading wildcard", () => {
    const acl = aclOf({ effect: "allow", topics: ["#", "+/x"] });
    expect(acl.decide("subscribe", identity, "$SYS/x")).toBeUndefined();
  });
});

describe("passwords", () => {
  it("are right when they are, and only then", async () => {
    const entry = tryParseHash(await hashPassword(Buffer.from("pä55")))!;
    expect(await verifyPassword(Buffer.from("pä55"), entry)).toBe(true);
    expect(await verifyPassword(Buffer.from("pä5"), entry)).toBe(false);
    expect(await verifyPassword(Buffer.alloc(0), entry)).toBe(false);
  });

  it.each([
    ["plain"],
    ["scrypt$16384$8$1$AAAA"],
    ["scrypt$16383$8$1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA"],
    ["scrypt$9999999$8$1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA"],
    ["scrypt$1048576$8$1$AAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAA"],
  ])("are not checked against %s", (text) => {
    expect(tryParseHash(text)).toBeUndefined();
  });
});

describe("PasswordChecker", () => {
  const file = async () =>
    new Users({
      users: [
        { name: "ann", tenant: "acme", password: await hashPassword(Buffer.from("right")) },
        { name: "bob", tenant: "", device: "bobs", password: await hashPassword(Buffer.from("other")) },
      ],
    } as never);

  /** Hashed so that a check costs next to nothing. */
  const cheap = new Users({
    users: [{ name: "bob", tenant: "", password: `scrypt$2$1$1$${"A".repeat(16)}$${"A".repeat(24)}` }],
  } as never);

  it("answers a remembered password at once, and no longer once the users have changed", async () => {
    const users = await file();
    const checker = new PasswordChecker(new FakeClock(), users);
    const first = checker.check("1.2.3.4", "ann", Buffer.from("right"));
    expect(first).toBeInstanceOf(Promise);
    expect(await first).toEqual({ name: "ann", tenant: "acme", device: undefined });
    expect(checker.check("1.2.3.4", "ann", Buffer.from("right"))).toMatchObject({ name: "ann" });
    expect(checker.check("1.2.3.4", "ann", Buffer.from("wrong"))).toBeInstanceOf(Promise);
    checker.use(users);
    expect(checker.check("1.2.3.4", "ann", Buffer.from("right"))).toBeInstanceOf(Promise);
  });

  it.each([
    ["was removed", [], "auth.bad_credentials"],
    ["has another password", [{ name: "ann", tenant: "acme", password: "new" }], "auth.bad_credentials"],
    ["has another tenant", [{ name: "ann", tenant: "b", password: "right" }], { name: "ann", tenant: "b" }],
  ])("answers a check by the users of its end: one who %s meanwhile", async (_, edited, verdict) => {
    const checker = new PasswordChecker(new FakeClock(), await file());
    const hashed = edited.map(async ({ password, ...user }) => ({
      ...user,
      password: await hashPassword(Buffer.from(password)),
    }));
    const users = new Users({ users: await Promise.all(hashed) } as never);
    const first = checker.check("1.2.3.4", "ann", Buffer.from("right"));
    checker.use(users);
    expect(await first).toEqual(typeof verdict === "string" ? verdict : expect.objectContaining(verdict));
  });

  it("checks a password once for all who ask at the same time", async () => {
    const checker = new PasswordChecker(new FakeClock(), await file());
    const asked = Array.from({ length: 300 }, () => checker.check("1.2.3.4", "ann", Buffer.from("right")));
    expect(new Set(asked).size).toBe(1);
    expect(await asked[0]).toMatchObject({ name: "ann" });
  });

  it.each([
    ["6.6.6.6", "6.6.6.6", "7.7.7.7"],
    ["2001:db8:1:2::1", "2001:db8:1:2:ffff:1:2:3", "2001:db8:1:3::1"],
    ["::1", "0:0:0:0:1::", "::1:0:0:0:1"],
    ["::ffff:6.6.6.6", "::ffff:6.6.6.6", "::ffff:6.6.6.7"],
  ])(
    "refuses %s when it keeps guessing, also as %s, lets others in, and forgives in time",
    async (guesser, same, other) => {
      const clock = new FakeClock();
      const checker = new PasswordChecker(clock, cheap);
      let tries = 0;
      const guess = (address: string) => checker.check(address, "bob", Buffer.from(`x${tries++}`));
      // At the same time: what is still being checked counts as well.
      const guesses = Array.from({ length: 20 }, () => guess(guesser));
      expect(guess(same)).toBe("limit.rate");
      expect(guess(other)).toBeInstanceOf(Promise);
      expect(new Set(await Promise.all(guesses))).toEqual(new Set(["auth.bad_credentials"]));
      expect(guess(same)).toBe("limit.rate");
      await clock.advance(4_000);
      expect(await guess(guesser)).toBe("auth.bad_credentials");
    },
  );

  it("refuses who would wait too long, whoever it is", async () => {
    const checker = new PasswordChecker(new FakeClock(), cheap);
    const from = (n: number) => checker.check(`10.0.${n >> 4}.${n & 15}`, "bob", Buffer.from(`${n}`));
    const asked = Array.from({ length: 202 }, (_, n) => from(n));
    expect(asked.every((verdict) => verdict instanceof Promise)).toBe(true);
    expect(from(202)).toBe("limit.rate");
    await Promise.all(asked);
  });
});

describe("Users", () => {
  it("names every entry that cannot be used", () => {
    const { problems } = new Users({ users: [{ name: "a", tenant: "", password: "scrypt$no" }] } as never);
    expect(problems).toEqual(["users[0].password is not a hash that can be checked"]);
  });
});

describe("admission without files", () => {
  const of = (anonymous: string) =>
    new StaticFileAdmission(
      { anonymous, usersFile: "", aclFile: "" } as never,
      silentLogger,
      new FakeClock(),
    );
  const who = (address: string, more: object = {}) => ({
    protocol: "mqtt",
    port: "mqtt",
    address,
    deviceId: "d",
    ...more,
  });

  it.each(["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"])("lets in whoever is on %s", (address) => {
    expect(of("loopback").connect(who(address))).toMatchObject({ allow: true, identity: { deviceId: "d" } });
  });

  it.each(["10.0.0.1", "::ffff:10.0.0.1", "127.evil.example", "fe80::1", "", "1.127.0.0"])(
    "refuses %j",
    (address) => {
      expect(of("loopback").connect(who(address))).toEqual({ allow: false, code: "auth.bad_credentials" });
    },
  );

  it("refuses everybody, or nobody, where that is asked for", () => {
    expect(of("nobody").connect(who("127.0.0.1"))).toMatchObject({ allow: false });
    expect(of("everybody").connect(who("10.0.0.1"))).toMatchObject({ allow: true });
    expect(of("everybody").connect(who("10.0.0.1", { user: "x", password: Buffer.from("y") }))).toMatchObject(
      {
        allow: false,
      },
    );
  });
});
