/** Topic filters by level: finds all filters that match a path in one walk. */

/** Whoever holds a filter; `Entry` is what `match` returns. */
interface Node<Entry> {
  children: Map<string, Node<Entry>> | undefined;
  plus: Node<Entry> | undefined;
  /** Filters that end here. */
  here: Set<Entry> | undefined;
  /** Filters that end here with `#`. */
  below: Set<Entry> | undefined;
}

// Most nodes have one of the four: a device's own topic is a chain of them.
function newNode<Entry>(): Node<Entry> {
  return { children: undefined, plus: undefined, here: undefined, below: undefined };
}

export class FilterTree<Entry> {
  private readonly root = newNode<Entry>();

  add(filter: string, entry: Entry): void {
    let node = this.root;
    for (const level of filter.split("/")) {
      if (level === "#") {
        node.below ??= new Set();
        node.below.add(entry);
        return;
      }
      node = level === "+" ? plusOf(node) : childOf(node, level);
    }
    node.here ??= new Set();
    node.here.add(entry);
  }

  remove(filter: string, entry: Entry): void {
    this.removeFrom(this.root, filter.split("/"), 0, entry);
  }

  /** Everything whose filter matches; topics that begin with `$` are not matched by a leading wildcard (4.7.2). */
  match(path: string): Entry[] {
    const out: Entry[] = [];
    collect(this.root, path.split("/"), 0, !path.startsWith("$"), out);
    return out;
  }

  /** Returns true when the node is empty and may go. */
  private removeFrom(node: Node<Entry>, levels: readonly string[], at: number, entry: Entry): boolean {
    const level = levels[at];
    if (level === undefined) {
      node.here?.delete(entry);
      if (node.here?.size === 0) node.here = undefined;
    } else if (level === "#") {
      node.below?.delete(entry);
      if (node.below?.size === 0) node.below = undefined;
    } else if (level === "+") {
      if (node.plus !== undefined && this.removeFrom(node.plus, levels, at + 1, entry)) {
        node.plus = undefined;
      }
    } else {
      const child = node.children?.get(level);
      if (child !== undefined && this.removeFrom(child, levels, at + 1, entry)) {
        node.children!.delete(level);
        if (node.children!.size === 0) node.children = undefined;
      }
    }
    return (
      node.here === undefined &&
      node.below === undefined &&
      node.plus === undefined &&
      node.children === undefined
    );
  }
}

function plusOf<Entry>(node: Node<Entry>): Node<Entry> {
  node.plus ??= newNode<Entry>();
  return node.plus;
}

function childOf<Entry>(node: Node<Entry>, level: string): Node<Entry> {
  node.children ??= new Map();
  let child = node.children.get(level);
  if (child === undefined) {
    child = newNode<Entry>();
    node.children.set(level, child);
  }
  return child;
}

function collect<Entry>(
  node: Node<Entry>,
  levels: readonly string[],
  at: number,
  wildcards: boolean,
  out: Entry[],
): void {
  // `#` stands for the parent level too: `a/#` matches `a` (4.7.1.2).
  if (wildcards) append(out, node.below);
  if (at === levels.length) {
    append(out, node.here);
    return;
  }
  const child = node.children?.get(levels[at]!);
  if (child !== undefined) collect(child, levels, at + 1, true, out);
  if (wildcards && node.plus !== undefined) collect(node.plus, levels, at + 1, true, out);
}

function append<Entry>(out: Entry[], entries: Set<Entry> | undefined): void {
  if (entries !== undefined) for (const entry of entries) out.push(entry);
}
