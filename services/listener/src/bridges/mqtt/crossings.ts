/** Which bridges a message has crossed: a header that each of them adds its name to, so that nothing goes round. */
import { BRIDGE_PREFIX } from "../../core/bridge-id.js";

/** Name of the header, which is a user property in MQTT 5. */
export const CROSSED = "myelin-bridges";

/** More are believed of no message. */
export const MAX_CROSSED = 32;

interface Header {
  readonly name: string;
  readonly value: string;
}

const UNNAMED = ["?>"];

/**
 * What a message has crossed, oldest first: `<deployment>/<bridge>` and `<` or `>`, for in and out. A message without the header whose
 * device is called like a bridge came by one that could not say so: user properties are of MQTT 5.
 */
export function crossedBy(headers: readonly Header[] | undefined, deviceId: string): readonly string[] {
  const value = headers?.find(({ name }) => name === CROSSED)?.value ?? "";
  if (value !== "") return value.split(",", MAX_CROSSED + 1);
  return deviceId.startsWith(BRIDGE_PREFIX) ? UNNAMED : [];
}

/**
 * May it go out by `bridge`, which sends what has crossed no more than `max` others? Nothing crosses a bridge twice.
 */
export function mayGoOut(crossed: readonly string[], bridge: string, max: number): boolean {
  return crossed.length <= max && !hasCrossed(crossed, bridge);
}

/**
 * May it come in? What a bridge has sent to the broker may; what the other side has fetched itself counts as if it went out again there.
 */
export function mayComeIn(crossed: readonly string[], bridge: string, max: number): boolean {
  const fetched = crossed.filter((crossing) => crossing.endsWith("<")).length;
  return crossed.length <= MAX_CROSSED && fetched <= max && !hasCrossed(crossed, bridge);
}

/** The headers with this crossing added. */
export function withCrossing(
  headers: readonly Header[] | undefined,
  crossed: readonly string[],
  crossing: string,
): readonly Header[] {
  const others = (headers ?? []).filter(({ name }) => name !== CROSSED);
  return [...others, { name: CROSSED, value: [...crossed, crossing].join(",") }];
}

function hasCrossed(crossed: readonly string[], bridge: string): boolean {
  return crossed.includes(`${bridge}<`) || crossed.includes(`${bridge}>`);
}
