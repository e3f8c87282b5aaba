/** Names for Protobuf enums: callers see lower-case words, never the numbers of the wire. */

/** The words of a generated enum object, without "not set" and the generator's own marker. */
export type EnumName<E> = Lowercase<Exclude<Extract<keyof E, string>, "UNSPECIFIED" | "UNRECOGNIZED">>;

/** Both directions of one enum. */
export interface EnumNames<E> {
  /** All names, in the order of their numbers. */
  readonly names: readonly EnumName<E>[];
  /** The number of a name; 0, "not set", for undefined. */
  toWire(name: EnumName<E> | undefined): E[keyof E];
  /** The name of a number; undefined for 0 and for numbers that this version does not know. */
  fromWire(value: number): EnumName<E> | undefined;
}

/** Builds the tables of a generated enum object once, at import. */
export function enumNames<E extends Readonly<Record<string, number>>>(generated: E): EnumNames<E> {
  const byName = new Map<string, number>();
  const byNumber = new Map<number, string>();
  for (const [key, value] of Object.entries(generated)) {
    if (value <= 0) continue;
    byName.set(key.toLowerCase(), value);
    byNumber.set(value, key.toLowerCase());
  }
  return {
    names: [...byName.keys()] as EnumName<E>[],
    toWire: (name) => (name === undefined ? 0 : (byName.get(name) ?? 0)) as E[keyof E],
    fromWire: (value) => byNumber.get(value) as EnumName<E> | undefined,
  };
}
