import { filterKey, isTopicFilter, topicMatches } from "@myelin/contract";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { plainFilter } from "./shared-groups.js";
import { type Match, SubscriptionTable } from "./subscription-table.js";
import type { GiveBack, Subscriber, SubscriberMessage } from "./subscriptions.js";

const level = fc.constantFrom("a", "b", "", "$x");
const path = fc.array(level, { minLength: 1, maxLength: 4 }).map((l) => l.join("/"));
const filter = fc
  .tuple(
    fc.constantFrom("", "", "$share/g/", "$share/h/"),
    fc.array(fc.constantFrom("a", "b", "", "+", "$x"), { maxLength: 4 }),
    fc.boolean(),
  )
  .map(
    ([group, levels, hash]) => group + [...levels, ...(hash || levels.length === 0 ? ["#"] : [])].join("/"),
  )
  .filter((text) => isTopicFilter(plainFilter(text)));

const MESSAGE: SubscriberMessage = {
  ...{
    path: "a",
    bytes: Buffer.alloc(0),
    payloadStart: 0,
    payloadEnd: 0,
    contentType: "",
    qos: 1,
    retain: false,
  },
  ...{ tenant: "", deviceId: "", extras: () => undefined },
};

/** @param served gets its number with each message */
function subscriber(number: number, tenant = "", served: number[] = []): Subscriber {
  const deliver = (): boolean => served.push(number) > 0;
  return { number, identity: { tenant, deviceId: "d", user: "" }, deliver, revoked: () => {} };
}

function tableOf() {
  const interest: string[] = [];
  const table = new SubscriptionTable({
    wanted: (f) => interest.push(`+${f}`),
    unwanted: (f) => interest.push(`-${f}`),
    shared: (key, members) => interest.push(`${key} ${members}`),
  });
  return { table, interest };
}

describe("SubscriptionTable", () => {
  it("merges the filters of one subscriber into one target with all tags", () => {
    const { table } = tableOf();
    const [a, b] = [subscriber(1), subscriber(2)];
    table.add(a, "x/#", 1);
    table.add(a, "x/+", 2);
    table.add(b, "x/y", 3);
    const { targets } = table.match("", "x/y");
    expect(targets.map((t) => [t.subscriber.number, [...t.tags].sort()])).toEqual([
      [1, [1, 2]],
      [2, [3]],
    ]);
  });

  it("shows a subscriber the messages of its tenant only", () => {
    const { table } = tableOf();
    table.add(subscriber(1, "acme"), "#", 1);
    expect(table.match("", "a").targets).toEqual([]);
    expect(table.match("acme", "a").targets).toHaveLength(1);
  });

  it("serves the members of a shared group in turn, and those of another tenant not at all", () => {
    const { table } = tableOf();
    const served: number[] = [];
    const members = [subscriber(1, "", served), subscriber(2, "", served), subscriber(3, "", served)];
    for (const member of members) table.add(member, "$share/g/a", 0);
    table.add(subscriber(9, "acme", served), "$share/g/a", 0);
    expect(table.match("", "a").targets).toEqual([]);
    const group = table.group("$share/g/a")!;
    for (let i = 0; i < 6; i++) expect(group.deliver(MESSAGE)).toBe(true);
    expect(served).toEqual([1, 2, 3, 1, 2, 3]);
    table.removeAll(members[1]!);
    for (let i = 0; i < 4; i++) group.deliver(MESSAGE);
    expect(served.slice(6).sort()).toEqual([1, 1, 3, 3]);
    expect(table.group("$share/g/b")).toBeUndefined();
  });

  it("serves the members of a group that have room, and all of them when none has", () => {
    const { table } = tableOf();
    const served: number[] = [];
    const members = [subscriber(1, "", served), subscriber(2, "", served), subscriber(3, "", served)].map(
      (one) => ({ ...one, isBusy: one.number !== 3 }),
    );
    for (const member of members) table.add(member, "$share/g/a", 0);
    const group = table.group("$share/g/a")!;
    for (let i = 0; i < 3; i++) group.deliver(MESSAGE);
    expect(served.splice(0)).toEqual([3, 3, 3]);
    for (const member of members) member.isBusy = true;
    for (let i = 0; i < 3; i++) group.deliver(MESSAGE);
    expect(served).toEqual([1, 2, 3]);
  });

  it("gives what a member leaves over to the next one, elsewhere when there is none, and what it drops to nobody", () => {
    const handed: string[] = [];
    const interest = { wanted: () => {}, unwanted: () => {}, shared: () => {} };
    const table = new SubscriptionTable({
      ...interest,
      handBack: (key) => {
        handed.push(key);
        return true;
      },
    });
    const served: number[] = [];
    const leaving = (number: number): Subscriber => {
      const one: Subscriber = {
        ...subscriber(number),
        isBusy: true,
        deliver: () => {
          table.removeAll(one);
          return false;
        },
      };
      return one;
    };
    table.add(leaving(1), "$share/g/a", 0);
    table.add(leaving(2), "$share/g/a", 0);
    const last = { ...subscriber(3, "", served), isBusy: true };
    table.add(last, "$share/g/a", 0);
    const group = table.group("$share/g/a")!;
    expect([group.deliver(MESSAGE), served, group.size]).toEqual([true, [3], 1]);
    last.deliver = () => false;
    const fourth = subscriber(4, "", served);
    table.add(fourth, "$share/g/a", 0);
    expect(group.deliver({ ...MESSAGE, qos: 0 })).toBe(true);
    const dropping = { ...subscriber(5), deliver: () => false };
    table.removeAll(last);
    table.add(dropping, "$share/g/a", 0);
    expect([group.deliver(MESSAGE), group.deliver(MESSAGE)].sort()).toEqual([false, true]);
    for (const member of [fourth, dropping]) table.removeAll(member);
    expect([group.deliver(MESSAGE), handed]).toEqual([true, ["$share/g/a"]]);
  });

  it("gives what a member did not acknowledge to another one, and to nobody when there is none", () => {
    const { table } = tableOf();
    const served: number[] = [];
    let giveBack: GiveBack | undefined;
    const leaving: Subscriber = {
      ...subscriber(1),
      deliver: (_message, _tags, back) => {
        giveBack = back;
        return true;
      },
    };
    table.add(leaving, "$share/g/a", 0);
    table.group("$share/g/a")!.deliver(MESSAGE);
    const other = subscriber(2, "", served);
    table.add(other, "$share/g/a", 0);
    table.removeAll(leaving);
    expect([giveBack!(MESSAGE), served]).toEqual([true, [2]]);
    table.removeAll(other);
    expect([giveBack!(MESSAGE), served]).toEqual([false, [2]]);
  });

  it("holds a bounded number of groups", () => {
    const { table } = tableOf();
    const one = subscriber(1);
    for (let i = 0; i < 4096; i++) expect(table.add(one, `$share/${i}/a`, 0)).toBe("added");
    expect(table.add(one, "$share/more/a", 0)).toBe("full");
    expect(table.add(subscriber(2), "$share/7/a", 0)).toBe("added");
    table.remove(one, "$share/0/a");
    expect(table.add(one, "$share/more/a", 0)).toBe("added");
  });

  it("tells interest when the first one wants a filter and when the last one has gone", () => {
    const { table, interest } = tableOf();
    const [a, b] = [subscriber(1), subscriber(2)];
    table.add(a, "x", 0);
    table.add(b, "$share/g/x", 0);
    table.add(a, "x", 1);
    table.remove(a, "x");
    expect(interest).toEqual(["+x", "$share/g/x 1", "-x"]);
    table.removeAll(b);
    expect(interest.slice(3)).toEqual(["$share/g/x 0"]);
    expect(table.remove(a, "x")).toBe(false);
    expect(table.size).toBe(0);
  });

  it("is what its subscribers hold, while they come and go, and says which match is stale", () => {
    const steps = fc.array(
      fc.record({
        what: fc.constantFrom("add", "add", "remove", "leave"),
        who: fc.nat({ max: 3 }),
        filter,
        tag: fc.constantFrom(1, 0xffff_ffff),
      }),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(steps, fc.array(path, { maxLength: 6 }), (all, paths) => {
        const wanted = new Set<string>();
        const groups = new Map<string, number>();
        const table = new SubscriptionTable({
          wanted: (key) => {
            expect(wanted.has(key)).toBe(false);
            wanted.add(key);
          },
          unwanted: (key) => expect(wanted.delete(key)).toBe(true),
          shared: (key, members) => {
            if (members > 0) groups.set(key, members);
            else groups.delete(key);
          },
        });
        const subscribers = ["", "", "acme", "acme"].map((tenant, i) => subscriber(i, tenant));
        const held = subscribers.map(() => new Map<string, number>());
        const kept = new Map<string, { match: Match; says: string }>();
        for (const { what, who, filter: text, tag } of all) {
          const [one, its] = [subscribers[who]!, held[who]!];
          if (what === "add") {
            expect(table.add(one, text, tag)).toBe(its.has(text) ? "replaced" : "added");
            its.set(text, tag);
          } else if (what === "remove") expect(table.remove(one, text)).toBe(its.delete(text));
          else {
            table.removeAll(one);
            its.clear();
          }
          expect([table.countOf(one), table.holds(one, text)]).toEqual([its.size, its.has(text)]);
          for (const tenant of ["", "acme"]) {
            for (const path of paths) {
              const key = `${tenant}|${path}`;
              const says = expected(subscribers, held, tenant, path);
              const known = kept.get(key);
              if (known !== undefined && !known.match.isStale) expect(known.says).toBe(says);
              else {
                const match = table.match(tenant, path);
                expect(shown(match)).toBe(says);
                kept.set(key, { match, says });
              }
            }
          }
        }
        const everything = held.flatMap((its, i) =>
          [...its.keys()].map((f) => filterKey(subscribers[i]!.identity.tenant, f)),
        );
        const isShared = (key: string): boolean => key.includes("$share/");
        const keys = everything.filter((key) => !isShared(key));
        const members = Map.groupBy(everything.filter(isShared), (key) => key);
        expect(groups).toEqual(new Map([...members].map(([key, { length }]) => [key, length])));
        expect(new Map([...table.groups()].map(({ key, size }) => [key, size]))).toEqual(groups);
        expect([...table.filters()].sort()).toEqual([...new Set(keys)].sort());
        expect([...wanted].sort()).toEqual([...new Set(keys)].sort());
        expect(table.size).toBe(held.reduce((sum, its) => sum + its.size, 0));
        for (const [i, one] of subscribers.entries()) {
          for (const path of paths) {
            const tags = [...held[i]!]
              .filter(([f]) => topicMatches(plainFilter(f), path))
              .map(([, tag]) => tag);
            expect([...table.tagsOf(one, path)].sort()).toEqual(tags.sort());
          }
        }
      }),
    );
  });

  it("refuses what it has no room for", () => {
    const deaf = { wanted: () => {}, unwanted: () => {}, shared: () => {} };
    const table = new SubscriptionTable(deaf, { maxFilters: 1 });
    expect(["a", "b"].map((f) => table.add(subscriber(1), f, 0))).toEqual(["added", "full"]);
  });

  it("takes from subscribers what the rules deny, from groups too, and tells them", () => {
    const { table } = tableOf();
    const revoked: string[] = [];
    const one: Subscriber = { ...subscriber(1, "acme"), revoked: (f) => revoked.push(f) };
    for (const f of ["a", "b", "$share/g/a", "$share/g/b"]) table.add(one, f, 0);
    table.recheck(({ tenant }, f) => tenant === "acme" && f === "b");
    expect(revoked.sort()).toEqual(["$share/g/a", "a"]);
    expect(table.countOf(one)).toBe(2);
  });
});

/** Who gets a message with which tags, as plainly as it can be said. */
function expected(
  subscribers: readonly Subscriber[],
  held: readonly ReadonlyMap<string, number>[],
  tenant: string,
  path: string,
): string {
  const lines: string[] = [];
  for (const [i, its] of held.entries()) {
    if (subscribers[i]!.identity.tenant !== tenant) continue;
    const tags: number[] = [];
    for (const [text, tag] of its) {
      const plain = plainFilter(text);
      if (!topicMatches(plain, path)) continue;
      if (plain === text) tags.push(tag);
    }
    if (tags.length > 0) lines.push(`${i}:${tags.sort()}`);
  }
  return lines.sort().join(" ");
}

function shown({ targets }: Match): string {
  const lines = targets.map(({ subscriber, tags }) => `${subscriber.number}:${[...tags].sort()}`);
  return lines.sort().join(" ");
}
