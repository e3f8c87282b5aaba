import { parseYaml } from "@myelin/config";
import { describe, expect, it } from "vitest";
import { usersEntry } from "./passwd.js";

describe("the entry of a user", () => {
  it.each([
    { name: "ann", password: "scrypt$16384$8$1$c2FsdA==$aGFzaA==" },
    { name: "- # : {", password: "scrypt$1", device: 'boiler "1"' },
    { name: "no", password: "scrypt$1", device: "0x10" },
  ])("is read back as it was written: $name", async (entry) => {
    const { documents, errors } = await parseYaml(["users:", ...usersEntry(entry)].join("\n"));
    expect(errors).toEqual([]);
    expect(documents[0]?.value).toEqual({ users: [entry] });
  });
});
