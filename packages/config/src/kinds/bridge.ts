/** Another broker that messages are exchanged with. */
import {
  array,
  bytes,
  durationMs,
  exactlyOne,
  integer,
  object,
  oneOf,
  optional,
  secretReference,
  string,
} from "../schema/builders.js";
import type { Problem, ValuePath } from "../schema/check.js";
import type { Infer } from "../schema/schema.js";
import { defineKind } from "./kind.js";
import { filtersOverlap, topicFilterRule, topicNameRule } from "./topic-rules.js";

const tls = object(
  {
    ca: optional(
      secretReference({
        description: "Authorities in PEM form that vouch for the broker; left out, those that Node.js knows.",
      }),
    ),
    cert: optional(secretReference({ description: "Certificate of the bridge in PEM form." })),
    key: optional(secretReference({ description: "Private key of that certificate in PEM form." })),
    serverName: optional(
      string({
        description: "Name that the broker's certificate must have; left out, that of the URL.",
        minLength: 1,
        maxLength: 253,
      }),
    ),
    minVersion: oneOf(["TLSv1.2", "TLSv1.3"], {
      default: "TLSv1.3",
      description: "Oldest TLS version that is spoken.",
    }),
  },
  { description: "TLS of mqtts and wss; the broker's certificate is always checked." },
);

const mqtt = object({
  url: string({
    description:
      "Where the broker is: mqtt, mqtts, ws or wss, with host and, if it is not the usual one, port.",
    minLength: 1,
    maxLength: 2048,
  }),
  version: oneOf(["3.1.1", "5"], {
    default: "5",
    description:
      "Version of MQTT. With 3.1.1 nothing keeps a broker from sending back what it was sent, so topics in and out must not overlap there.",
  }),
  clientId: optional(
    string({
      description:
        "What the bridge is called at the broker, which keeps its session by it. Left out, `bridge/<deployment>/<name>`, where the deployment is a random word that is made once.",
      minLength: 1,
      maxLength: 256,
    }),
  ),
  user: optional(string({ description: "User name at the broker.", minLength: 1, maxLength: 1024 })),
  password: optional(secretReference({ description: "Password at the broker." })),
  tls: optional(tls),
  keepAlive: durationMs({
    default: "30s",
    min: "5s",
    max: "1h",
    description: "Silence after which the broker is asked for a sign of life.",
  }),
  connectTimeout: durationMs({
    default: "10s",
    min: "1s",
    max: "2m",
    description: "How long the broker may take to let the bridge in.",
  }),
});

const prefix = (side: string) =>
  string({
    description: `Stands before the topic ${side}; nothing is put between the two, so it usually ends in a slash.`,
    default: "",
    maxLength: 1024,
  });

const topic = object({
  filter: string({
    description: "Topic filter, to which both prefixes are put in front.",
    minLength: 1,
    maxLength: 1024,
  }),
  direction: oneOf(["in", "out", "both"], {
    description: "`in`: from the broker to here; `out`: from here to the broker.",
  }),
  qos: integer({
    default: 1,
    minimum: 0,
    maximum: 2,
    description:
      "Highest QoS in which messages cross. With 0 nothing is kept for a side that is away; messages that were published with less cross with that.",
  }),
  localPrefix: prefix("here"),
  remotePrefix: prefix("at the broker"),
  retain: oneOf(["keep", "clear"], {
    default: "keep",
    description: "Whether the retained flag crosses or is taken off.",
  }),
});

const spec = object({
  remote: exactlyOne({ mqtt }, { description: "The other side, by what it speaks." }),
  tenant: string({
    description: "Tenant whose messages cross; empty, the default one.",
    default: "",
    maxLength: 256,
  }),
  topics: array(topic, {
    description: "What crosses. Of several that match a message the first one counts.",
    minItems: 1,
    maxItems: 256,
  }),
  outbox: object(
    {
      maxMessages: integer({
        default: 100_000,
        minimum: 1,
        maximum: 1_000_000,
        description: "Messages above QoS 0, those on their way to the broker included.",
      }),
      maxBytes: bytes({
        default: "32MiB",
        min: "64KiB",
        max: "1GiB",
        description:
          "The same in bytes. It is held in memory, and beyond `dispatcher.sessions.memory` other messages for the same partition go to the overflow stream.",
      }),
      whenFull: oneOf(["refuse", "oldest"], {
        default: "refuse",
        description:
          "`refuse`: a new message is dropped and counted; `oldest`: the oldest one that is not on its way is.",
      }),
    },
    { description: "What may wait to go out while the broker is away or slow." },
  ),
  maxCrossed: integer({
    default: 0,
    minimum: 0,
    maximum: 15,
    description:
      "How many bridges a message may have crossed before and still go out by this one. With 0 what came by a bridge goes out by none.",
  }),
  reconnect: object(
    {
      min: durationMs({
        default: "500ms",
        min: "10ms",
        max: "1m",
        description: "Longest wait before the first new try; each further one doubles it.",
      }),
      max: durationMs({ default: "30s", min: "100ms", max: "1h", description: "Longest wait at all." }),
    },
    { description: "How a broker that is away is tried again; waits are random, below these bounds." },
  ),
});

/** The spec of a `Bridge`, checked and complete. */
export type BridgeSpec = Infer<typeof spec>;

/** One line of its topics. */
export type BridgeTopic = BridgeSpec["topics"][number];

const SCHEMES = ["mqtt:", "mqtts:", "ws:", "wss:"];

type Expect = (at: ValuePath, value: unknown, rule: string | undefined) => void;

function checkBridge(bridge: BridgeSpec): readonly Problem[] {
  const problems: Problem[] = [];
  const expect: Expect = (path, value, rule) => {
    if (rule !== undefined) problems.push({ path, value, rule });
  };
  const { remote, topics, reconnect } = bridge;
  checkRemote(remote.mqtt, expect);
  for (const [i, line] of topics.entries()) checkTopic(line, ["topics", i], expect);
  if (problems.length > 0) return problems;
  checkDoubles(topics, expect);
  if (remote.mqtt.version === "3.1.1") checkEchoes(topics, expect);
  if (reconnect.max < reconnect.min) {
    expect(["reconnect", "max"], reconnect.max, "at least reconnect.min, in milliseconds");
  }
  return problems;
}

function checkRemote({ url, tls: secured, user, password }: Infer<typeof mqtt>, expect: Expect): void {
  const at: ValuePath = ["remote", "mqtt", "url"];
  // A URL that holds a password must not be repeated in a refusal.
  const isOpen = /\/\/[^/]*@/.test(url);
  if (isOpen)
    expect(at, "a URL with a user in it", "without user and password, which have fields of their own");
  else if (!URL.canParse(url) || !SCHEMES.includes(new URL(url).protocol) || new URL(url).hostname === "") {
    expect(at, url, `a URL such as mqtts://broker.example.com:8883, with one of ${SCHEMES.join(" ")}`);
  } else {
    const { protocol, pathname, search, hash } = new URL(url);
    const isPlain = protocol === "mqtt:" || protocol === "ws:";
    if (protocol.startsWith("mqtt") && (!["", "/"].includes(pathname) || search !== "")) {
      expect(at, url, "without a path, which only ws and wss have");
    }
    if (hash !== "") expect(at, url, "without a fragment");
    if (isPlain && secured !== undefined)
      expect(["remote", "mqtt", "tls"], {}, `left out: ${protocol}// is plain text`);
  }
  if ((secured?.cert === undefined) !== (secured?.key === undefined)) {
    expect(["remote", "mqtt", "tls", "key"], secured?.key, "given exactly when cert is");
  }
  if (password !== undefined && user === undefined) {
    expect(["remote", "mqtt", "user"], user, "given, because password is");
  }
}

function checkTopic({ filter, localPrefix, remotePrefix }: BridgeTopic, at: ValuePath, expect: Expect): void {
  if (topicFilterRule(filter) !== undefined) {
    expect([...at, "filter"], filter, topicFilterRule(filter));
    return;
  }
  if (filter.startsWith("$share/")) {
    expect([...at, "filter"], filter, "a filter of a bridge's own, not below $share");
    return;
  }
  expect([...at, "localPrefix"], localPrefix, topicNameRule(localPrefix));
  expect([...at, "remotePrefix"], remotePrefix, topicNameRule(remotePrefix));
  for (const [key, text] of [
    ["localPrefix", localPrefix + filter],
    ["remotePrefix", remotePrefix + filter],
  ] as const) {
    const isWhole = topicFilterRule(text) === undefined;
    if (!isWhole) expect([...at, key], text, "a prefix that leaves + and # alone in their levels");
    else if (text.startsWith("$share/") || (key === "localPrefix" && text.startsWith("$SYS/"))) {
      expect([...at, key], text, "a prefix that leads to no group below $share, nor here to $SYS");
    }
  }
}

const filterAt = (side: "local" | "remote", { filter, localPrefix, remotePrefix }: BridgeTopic): string =>
  (side === "local" ? localPrefix : remotePrefix) + filter;

/** A filter is subscribed to once, where its messages come from. */
function checkDoubles(topics: readonly BridgeTopic[], expect: Expect): void {
  const seen = new Set<string>();
  for (const [i, line] of topics.entries()) {
    const sources = [
      line.direction !== "out" && `in ${filterAt("remote", line)}`,
      line.direction !== "in" && `out ${filterAt("local", line)}`,
    ].filter((source) => source !== false);
    const known = sources.find((source) => seen.has(source));
    if (known !== undefined)
      expect(["topics", i], line.filter, `listed once in each direction: ${known} is twice`);
    for (const source of sources) seen.add(source);
  }
}

/** Before MQTT 5 a broker sends back to a client what that has published, if it has subscribed to it. */
function checkEchoes(topics: readonly BridgeTopic[], expect: Expect): void {
  for (const [i, line] of topics.entries()) {
    if (line.direction === "out") continue;
    const echo = topics.find(
      (other) =>
        other.direction !== "in" && filtersOverlap(filterAt("remote", line), filterAt("remote", other)),
    );
    if (echo === undefined) continue;
    const sent = filterAt("remote", echo);
    expect(
      ["topics", i],
      filterAt("remote", line),
      `apart from ${sent}, which goes out: with 3.1.1 the broker would send it back; use version 5, or other prefixes`,
    );
  }
}

/** `Bridge`: see the guide for how messages cross. */
export const bridgeKind = defineKind<BridgeSpec>({ kind: "Bridge", spec, check: checkBridge });
