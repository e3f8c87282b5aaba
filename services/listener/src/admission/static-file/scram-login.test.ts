import { FakeClock } from "@myelin/kernel";
import { describe, expect, it } from "vitest";
import { ScramClient } from "../../../test/scram-client.js";
import type { AuthenticationStep } from "../../core/admission.js";
import { hashPassword } from "../../core/password.js";
import { scramVerifier } from "../../core/scram.js";
import { ScramLogin } from "./scram-login.js";
import { PasswordChecker, Users } from "./users.js";

const password = await hashPassword(Buffer.from("secret"));
const usersOf = async (scram: boolean): Promise<Users> => {
  const entry = { name: "ann", password, tenant: "t", device: undefined };
  const users = [{ ...entry, ...(scram && { scram: await scramVerifier("secret") }) }];
  return new Users({ users } as never);
};
const users = await usersOf(true);

function login(passwords: PasswordChecker): ScramLogin {
  return new ScramLogin(passwords, "10.0.0.1", Buffer.from("s"), ({ name, tenant }) => ({
    allow: true,
    identity: { tenant, deviceId: "d", user: name },
  }));
}

function attempt(passwords: PasswordChecker, client: ScramClient, meanwhile = () => {}): AuthenticationStep {
  const exchange = login(passwords);
  const { data, verdict } = exchange.step(client.first());
  if (verdict !== undefined) return { data, verdict };
  meanwhile();
  return exchange.step(client.final(data));
}

const ann = (): ScramClient => new ScramClient("ann", "secret");
const REFUSED = { verdict: { allow: false, code: "auth.bad_credentials" } };

describe("a login by SCRAM", () => {
  it("lets in who proves the password, and proves itself", () => {
    const client = ann();
    const { data, verdict } = attempt(new PasswordChecker(new FakeClock(), users), client);
    expect(verdict).toEqual({ allow: true, identity: { tenant: "t", deviceId: "d", user: "ann" } });
    expect(client.trusts(data)).toBe(true);
  });

  it("asks a name that nobody has as it asks others, and then refuses it", () => {
    const passwords = new PasswordChecker(new FakeClock(), users);
    expect(attempt(passwords, new ScramClient("nobody", "secret"))).toMatchObject(REFUSED);
  });

  it("refuses what is no beginning", () => {
    expect(login(new PasswordChecker(new FakeClock(), users)).step(Buffer.from("x"))).toMatchObject(REFUSED);
  });

  it("refuses a user whose entry has changed meanwhile", async () => {
    for (const next of [await usersOf(true), await usersOf(false)]) {
      const passwords = new PasswordChecker(new FakeClock(), users);
      expect(attempt(passwords, ann(), () => passwords.use(next))).toMatchObject(REFUSED);
    }
  });

  it("makes an address wait that keeps guessing, and not one that is right", () => {
    const passwords = new PasswordChecker(new FakeClock(), users);
    for (let i = 0; i < 50; i++) expect(attempt(passwords, ann()).verdict?.allow).toBe(true);
    for (let i = 0; i < 20; i++) {
      expect(attempt(passwords, new ScramClient("ann", `${i}`))).toMatchObject(REFUSED);
    }
    expect(attempt(passwords, ann())).toMatchObject({ verdict: { allow: false, code: "limit.rate" } });
  });

  it("is offered when somebody has an entry for it", async () => {
    expect(new PasswordChecker(new FakeClock(), users).offersScram).toBe(true);
    expect(new PasswordChecker(new FakeClock(), await usersOf(false)).offersScram).toBe(false);
    const broken = { users: [{ name: "a", password, tenant: "", scram: "SCRAM-SHA-256$1" }] };
    expect(new Users(broken as never).problems).toEqual(["users[0].scram is no entry that can be checked"]);
  });
});
