/** How edge nodes are named in resources. */
import { string } from "../schema/builders.js";

/** The node of an agent that was not told where it is, as on a single box. */
export const DEFAULT_EDGE_NODE = "local";

/** A field that names a node. */
export const edgeNode = (description: string) =>
  string({
    description: `${description} \`${DEFAULT_EDGE_NODE}\` is that of an agent that was not told another, as on a box.`,
    default: DEFAULT_EDGE_NODE,
    minLength: 1,
    maxLength: 253,
    pattern: "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$",
    rule: "a name of lower-case letters, digits, - and .",
  });
