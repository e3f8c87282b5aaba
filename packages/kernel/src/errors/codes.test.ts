import { describe, expect, it } from "vitest";
import { ERROR_CODES, isErrorCode, RETIRED } from "./codes.js";
import { errorsReference } from "./reference.js";

describe("the catalogue of error codes", () => {
  it("has only codes of the form area.problem", () => {
    for (const code of Object.keys(ERROR_CODES)) expect(code).toMatch(/^[a-z][a-z0-9]*\.[a-z][a-z0-9_]*$/);
  });

  it("does not bring back a retired code", () => {
    expect(RETIRED.filter((code) => isErrorCode(code))).toEqual([]);
  });

  it("does not take inherited names for codes", () => {
    for (const name of ["toString", "__proto__", "constructor", ""]) expect(isErrorCode(name)).toBe(false);
  });

  it("marks every internal code as ours", () => {
    for (const [code, entry] of Object.entries(ERROR_CODES)) {
      if (code.startsWith("internal.")) expect(entry.family).toBe("ours");
    }
  });

  it("matches the reference page", async () => {
    await expect(errorsReference()).toMatchFileSnapshot("../../../../docs/reference/errors.md");
  });
});
