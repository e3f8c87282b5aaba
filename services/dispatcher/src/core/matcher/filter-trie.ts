/** Finds all MQTT topic filters that match a topic, for many filters at once. */

interface Node<T> {
  readonly children: Map<string, Node<T>>;
  plus: Node<T> | undefined;
  /** Values of filters that end here. */
  values: Set<T> | undefined;
  /** Values of filters that end in `#` below here. */
  below: Set<T> | undefined;
}

function createNode<T>(): Node<T> {
  return { children: new Map(), plus: undefined, values: undefined, below: undefined };
}

/**
 * Filters with values. Matching visits each pair of filter and value once; it walks the levels with a list of nodes
 * instead of recursion, so deep topics cost memory in proportion and never the stack.
 */
export class FilterTrie<T> {
  private root = createNode<T>();
  /** Pairs of filter and value. */
  size = 0;

  /** Adds a pair; false when it is there already. The filter must be valid (`isTopicFilter`). */
  add(filter: string, value: T): boolean {
    const levels = filter.split("/");
    const hash = levels.at(-1) === "#";
    if (hash) levels.pop();
    let node = this.root;
    for (const level of levels) {
      let next = level === "+" ? node.plus : node.children.get(level);
      if (next === undefined) {
        next = createNode<T>();
        if (level === "+") node.plus = next;
        else node.children.set(level, next);
      }
      node = next;
    }
    const set = (hash ? node.below : node.values) ?? new Set<T>();
    if (hash) node.below = set;
    else node.values = set;
    if (set.has(value)) return false;
    set.add(value);
    this.size++;
    return true;
  }

  /** Removes a pair and the nodes nobody needs any more; false when it is not there. */
  delete(filter: string, value: T): boolean {
    const levels = filter.split("/");
    const hash = levels.at(-1) === "#";
    if (hash) levels.pop();
    const path: Node<T>[] = [this.root];
    for (const level of levels) {
      const node = path[path.length - 1]!;
      const next = level === "+" ? node.plus : node.children.get(level);
      if (next === undefined) return false;
      path.push(next);
    }
    const last = path[path.length - 1]!;
    if (!(hash ? last.below : last.values)?.delete(value)) return false;
    if (last.below?.size === 0) last.below = undefined;
    if (last.values?.size === 0) last.values = undefined;
    this.size--;
    for (let i = path.length - 1; i > 0 && isEmpty(path[i]!); i--) {
      const level = levels[i - 1]!;
      if (level === "+") path[i - 1]!.plus = undefined;
      else path[i - 1]!.children.delete(level);
    }
    return true;
  }

  clear(): void {
    this.root = createNode<T>();
    this.size = 0;
  }

  /** Visits the values of every filter that matches `topic`; a value under several matching filters comes several times. */
  match(topic: string, visit: (value: T) => void): void {
    const levels = topic.split("/");
    // Topics that begin with `$` match no filter that begins with a wildcard (MQTT 5, 4.7.2).
    const reserved = topic.startsWith("$");
    let nodes: Node<T>[] = [this.root];
    for (let i = 0; i < levels.length; i++) {
      const wildcards = !(reserved && i === 0);
      const next: Node<T>[] = [];
      for (const node of nodes) {
        if (wildcards) {
          node.below?.forEach(visit);
          if (node.plus !== undefined) next.push(node.plus);
        }
        const child = node.children.get(levels[i]!);
        if (child !== undefined) next.push(child);
      }
      if (next.length === 0) return;
      nodes = next;
    }
    for (const node of nodes) {
      node.values?.forEach(visit);
      node.below?.forEach(visit);
    }
  }
}

function isEmpty<T>(node: Node<T>): boolean {
  return (
    node.children.size === 0 &&
    node.plus === undefined &&
    node.values === undefined &&
    node.below === undefined
  );
}
