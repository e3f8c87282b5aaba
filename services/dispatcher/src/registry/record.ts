/** What a record of a device may hold. */
import type { registry } from "@myelin/contract";

const MAX_ID_BYTES = 256;
const MAX_TEXT = 1_024;
const MAX_NAME = 253;
const MAX_TAGS = 64;
const MAX_GROUPS = 64;
const TAG_NAME = /^[A-Za-z0-9]([-A-Za-z0-9_./]{0,62})$/;
const GROUP = /^[^\0]{1,128}$/u;
// Wildcards of topics and levels of subjects; a device's id is a level of its topics.
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not be in an id
const BAD_ID = /[\u0000-\u001f\u007f+#/]/;

/** What is wrong with a record, and with which field of it. */
export interface RecordProblem {
  readonly path: string;
  readonly rule: string;
}

/** Why a record cannot be kept; undefined: it can. */
export function recordProblem(device: registry.Device): RecordProblem | undefined {
  const { id, tenant, profile, description } = device;
  if (id === "" || Buffer.byteLength(id) > MAX_ID_BYTES || BAD_ID.test(id) || !id.isWellFormed())
    return problem(
      "id",
      `the id must be text of 1 to ${MAX_ID_BYTES} bytes without +, #, / and control characters`,
    );
  if (Buffer.byteLength(tenant) > MAX_ID_BYTES)
    return problem("tenant", `the tenant must have at most ${MAX_ID_BYTES} bytes`);
  if (profile.length > MAX_NAME || profile.includes("\0"))
    return problem("profile", `the profile must have at most ${MAX_NAME} characters, none of them NUL`);
  if (description.length > MAX_TEXT)
    return problem("description", `the description must have at most ${MAX_TEXT} characters`);
  return problemOfTags(device.tags) ?? problemOfGroups(device.groups);
}

function problemOfTags(tags: readonly registry.Tag[]): RecordProblem | undefined {
  if (tags.length > MAX_TAGS) return problem("tags", `there must be at most ${MAX_TAGS} tags`);
  const names = new Set<string>();
  for (const { name, value } of tags) {
    const path = `tags.${name.slice(0, 80)}`;
    if (!TAG_NAME.test(name))
      return problem(
        path,
        `the tag ${JSON.stringify(name.slice(0, 80))} must be a name of letters, digits and -_./`,
      );
    if (value.length > MAX_NAME || value.includes("\0"))
      return problem(
        path,
        `the value of the tag ${name} must have at most ${MAX_NAME} characters, none of them NUL`,
      );
    if (names.has(name)) return problem(path, `the tag ${name} must be given once`);
    names.add(name);
  }
  return undefined;
}

function problemOfGroups(groups: readonly string[]): RecordProblem | undefined {
  if (groups.length > MAX_GROUPS) return problem("groups", `there must be at most ${MAX_GROUPS} groups`);
  const bad = groups.findIndex((group) => !GROUP.test(group));
  if (bad >= 0) {
    const group = JSON.stringify(groups[bad]!.slice(0, 80));
    return problem(`groups[${bad}]`, `the group ${group} must have 1 to 128 characters`);
  }
  return new Set(groups).size < groups.length
    ? problem("groups", "each group must be given once")
    : undefined;
}

function problem(path: string, rule: string): RecordProblem {
  return { path, rule };
}
