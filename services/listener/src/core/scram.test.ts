import { createHash, createHmac, pbkdf2Sync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { ScramClient } from "../../test/scram-client.js";
import {
  readClientFirst,
  ScramExchange,
  type ScramVerifier,
  scramVerifier,
  strangersVerifier,
  tryParseVerifier,
} from "./scram.js";

const text = (bytes: string): Buffer => Buffer.from(bytes);

/** RFC 7677, section 3. */
function rfcVerifier(): ScramVerifier {
  const salt = Buffer.from("W22ZaJ0SNY7soEsUEjb6gQ==", "base64");
  const salted = pbkdf2Sync("pencil", salt, 4096, 32, "sha256");
  const key = (name: string): Buffer => createHmac("sha256", salted).update(name).digest();
  const storedKey = createHash("sha256").update(key("Client Key")).digest();
  return { iterations: 4096, salt, storedKey, serverKey: key("Server Key") };
}

const RFC_FIRST = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
const RFC_NONCE = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const RFC_FINAL =
  "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

const rfcExchange = (): ScramExchange =>
  new ScramExchange(readClientFirst(text(RFC_FIRST))!, rfcVerifier(), RFC_NONCE);

describe("SCRAM-SHA-256", () => {
  it("is what RFC 7677 shows", () => {
    const exchange = rfcExchange();
    expect(exchange.serverFirst).toBe(
      "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
    );
    expect(exchange.finish(text(RFC_FINAL))).toBe("v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
  });

  it("lets in who knows the password that was stored, and nobody else", async () => {
    const verifier = tryParseVerifier(await scramVerifier("secret"))!;
    for (const [password, isRight] of [
      ["secret", true],
      ["Secret", false],
    ] as const) {
      const client = new ScramClient("ann", password);
      const exchange = new ScramExchange(readClientFirst(client.first())!, verifier);
      const proof = exchange.finish(client.final(text(exchange.serverFirst)));
      expect(proof !== undefined && client.trusts(text(proof))).toBe(isRight);
    }
  });

  it.each([
    ["another nonce", RFC_FINAL.replace("hNlF", "hNlG")],
    ["another header", RFC_FINAL.replace("biws", "eSws")],
    ["another proof", RFC_FINAL.replace("p=dH", "p=eH")],
    ["no proof", RFC_FINAL.slice(0, RFC_FINAL.indexOf(",p="))],
    ["nothing", ""],
  ])("is not finished by %s", (_what, final) => {
    expect(rfcExchange().finish(text(final))).toBeUndefined();
  });

  it.each([
    ["n,,n=a=2Cb=3D,r=x", "a,b="],
    ["y,,n=ann,r=x", "ann"],
    ["n,a=other,n=ann,r=x,x=1", "ann"],
    ["p=tls-exporter,,n=ann,r=x", undefined],
    ["n,,m=1,n=ann,r=x", undefined],
    ["n,,n=a=b,r=x", undefined],
    ["n,,n=,r=x", undefined],
    ["n,,n=ann,r=", undefined],
    ["n,,n=ann", undefined],
    ["", undefined],
  ])("reads from %j the name %j", (first, name) => {
    expect(readClientFirst(text(first))?.name).toBe(name);
  });

  it("answers for a name that nobody has as for others, and the same each time", () => {
    const secret = text("secret");
    const one = strangersVerifier(secret, "nobody");
    expect(one.salt).toEqual(strangersVerifier(secret, "nobody").salt);
    expect(one.salt).not.toEqual(strangersVerifier(secret, "somebody").salt);
    expect(one.salt).toHaveLength(16);
  });

  it.each([
    "",
    "scrypt$1",
    "SCRAM-SHA-256$1000:c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "SCRAM-SHA-256$9000000:c2FsdHNhbHQ=$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=",
    "SCRAM-SHA-256$4096:c2FsdHNhbHQ=$AAAA:AAAA",
  ])("takes %j for no entry", (line) => {
    expect(tryParseVerifier(line)).toBeUndefined();
  });
});
