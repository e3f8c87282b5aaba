import { filterKey } from "@myelin/contract";
import { expect, it } from "vitest";
import { ListenerFilters } from "./listener-filters.js";
import { SubscriberIndex } from "./matcher/subscriber-index.js";
import type { Subscriber } from "./plan.js";

function keeper() {
  const index = new SubscriberIndex<Subscriber>({ maxFilters: 100, maxPairs: 100 });
  const filters = new ListenerFilters(index, (name) => ({
    target: { index: 0, kind: "listener", name },
    test: undefined,
  }));
  const wanting = (path: string, tenant = "") => {
    const names: string[] = [];
    index.match(tenant, path, ({ target }) => names.push(target.name));
    return names.sort().join();
  };
  return { filters, wanting };
}

it("keeps every filter in force while a listener tells all of them again, and drops in the end what it has not told", () => {
  const { filters, wanting } = keeper();
  for (const key of ["a", "b", "c"]) filters.add("l", key);
  filters.add("m", "a");
  filters.retell("l");
  filters.add("l", "b");
  filters.add("l", "d");
  filters.remove("l", "c");
  expect(["a", "b", "c", "d"].map((path) => wanting(path))).toEqual(["l,m", "l", "", "l"]);
  filters.told("l");
  expect(["a", "b", "c", "d"].map((path) => wanting(path))).toEqual(["m", "l", "", "l"]);
  filters.told("l");
  expect(wanting("b")).toBe("l");
});

it("keeps tenants apart and forgets a listener that is gone", () => {
  const { filters, wanting } = keeper();
  filters.add("l", filterKey("acme", "a/#"));
  filters.add("m", "a/#");
  expect([wanting("a", "acme"), wanting("a"), wanting("a", "other")]).toEqual(["l", "m", ""]);
  filters.drop("l");
  filters.drop("l");
  expect(wanting("a", "acme")).toBe("");
  filters.add("l", "not/#/valid");
  filters.add("l", filterKey("acme", "a"));
  expect(wanting("a", "acme")).toBe("l");
});
