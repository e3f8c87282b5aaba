/** Finds values by topic, and all of them that an MQTT filter matches. */

/** Levels that have a node each; what lies deeper hangs together on the last of them, so that no topic costs more than this. */
const MAX_DEPTH = 16;

interface Node<V> {
  value: V | undefined;
  children: Map<string, Node<V>> | undefined;
  /** By the rest of the topic, below a node of the last depth. */
  deep: Map<string, V> | undefined;
}

/** A topic has one value. Topics are well-formed, filters too; that is their callers' business. */
export class TopicTree<V> {
  size = 0;
  private readonly root: Node<V> = newNode();

  get(topic: string): V | undefined {
    let node: Node<V> | undefined = this.root;
    const { levels, rest } = split(topic);
    for (const level of levels) {
      node = node.children?.get(level);
      if (node === undefined) return undefined;
    }
    return rest === undefined ? node.value : node.deep?.get(rest);
  }

  set(topic: string, value: V): void {
    let node = this.root;
    const { levels, rest } = split(topic);
    for (const level of levels) {
      node.children ??= new Map();
      let child = node.children.get(level);
      if (child === undefined) {
        child = newNode();
        node.children.set(level, child);
      }
      node = child;
    }
    if (rest !== undefined) {
      node.deep ??= new Map();
      if (!node.deep.has(rest)) this.size += 1;
      node.deep.set(rest, value);
      return;
    }
    if (node.value === undefined) this.size += 1;
    node.value = value;
  }

  delete(topic: string): void {
    const { levels, rest } = split(topic);
    const way: Node<V>[] = [this.root];
    for (const level of levels) {
      const child = way.at(-1)!.children?.get(level);
      if (child === undefined) return;
      way.push(child);
    }
    const node = way.at(-1)!;
    if (rest === undefined) {
      if (node.value === undefined) return;
      node.value = undefined;
    } else if (node.deep?.delete(rest) !== true) return;
    this.size -= 1;
    // Empty nodes go, up to the first that is needed.
    for (let i = levels.length; i > 0 && isEmpty(way[i]!); i--) way[i - 1]!.children!.delete(levels[i - 1]!);
  }

  /** Visits every value whose topic the filter matches, in no order that means anything. The tree must not change meanwhile. */
  match(filter: string, visit: (value: V) => void): void {
    matchBelow(this.root, filter.split("/"), 0, visit);
  }

  /** Visits every value, also of topics that begin with `$`. The tree must not change meanwhile. */
  forEach(visit: (value: V) => void): void {
    visitAll(this.root, false, visit);
  }
}

function newNode<V>(): Node<V> {
  return { value: undefined, children: undefined, deep: undefined };
}

function isEmpty<V>({ value, children, deep }: Node<V>): boolean {
  return value === undefined && (children?.size ?? 0) === 0 && (deep?.size ?? 0) === 0;
}

function split(topic: string): { readonly levels: readonly string[]; readonly rest: string | undefined } {
  const levels: string[] = [];
  let from = 0;
  while (levels.length < MAX_DEPTH) {
    const slash = topic.indexOf("/", from);
    if (slash < 0) {
      levels.push(topic.slice(from));
      return { levels, rest: undefined };
    }
    levels.push(topic.slice(from, slash));
    from = slash + 1;
  }
  return { levels, rest: topic.slice(from) };
}

function matchBelow<V>(
  node: Node<V>,
  filter: readonly string[],
  depth: number,
  visit: (value: V) => void,
): void {
  if (depth === filter.length) {
    if (node.value !== undefined) visit(node.value);
    return;
  }
  const level = filter[depth]!;
  if (level === "#") {
    visitAll(node, depth === 0, visit);
    return;
  }
  if (depth === MAX_DEPTH) {
    for (const [rest, value] of node.deep ?? []) if (matchesRest(filter, depth, rest)) visit(value);
    return;
  }
  if (level !== "+") {
    const child = node.children?.get(level);
    if (child !== undefined) matchBelow(child, filter, depth + 1, visit);
    return;
  }
  for (const [name, child] of node.children ?? []) {
    if (depth > 0 || !name.startsWith("$")) matchBelow(child, filter, depth + 1, visit);
  }
}

/** Topics that begin with `$` match no filter that begins with a wildcard (MQTT 5, 4.7.2). */
function visitAll<V>(node: Node<V>, isRoot: boolean, visit: (value: V) => void): void {
  if (node.value !== undefined) visit(node.value);
  for (const value of node.deep?.values() ?? []) visit(value);
  for (const [name, child] of node.children ?? []) {
    if (!isRoot || !name.startsWith("$")) visitAll(child, false, visit);
  }
}

function matchesRest(filter: readonly string[], from: number, rest: string): boolean {
  const given = rest.split("/");
  for (let i = from; i < filter.length; i++) {
    if (filter[i] === "#") return true;
    const level = given[i - from];
    if (level === undefined || (filter[i] !== "+" && filter[i] !== level)) return false;
  }
  return given.length === filter.length - from;
}
