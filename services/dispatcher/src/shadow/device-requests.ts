/** What a device asks of its own shadows on the topics of AWS IoT, and what it is answered. */
import { AppError } from "@myelin/kernel";
import type { DeviceMessage } from "../devices/module.js";
import type { ShadowKey } from "./api.js";
import { acceptedUpdate, changeDocument, seconds, snapshotOf, wholeDocument } from "./documents.js";
import type { ShadowPartition } from "./partition.js";
import type { StoredShadow } from "./records.js";
import {
  clientTokenOf,
  parseRequest,
  parseUpdate,
  refusal,
  type ShadowRequest,
  versionOf,
} from "./requests.js";
import { type ShadowTopic, shadowTopic } from "./topics.js";

const MAX_RECENT = 16;

/** How a request ended: nobody may wait for more. */
export type RequestEnd = (error: AppError | undefined) => void;

interface Request {
  readonly partition: ShadowPartition;
  readonly topic: ShadowTopic;
  readonly key: ShadowKey;
  readonly clientToken: string | undefined;
  /** Of an event, which may come again. */
  readonly eventId: Buffer | undefined;
  readonly end: RequestEnd;
}

/** Does what a device asks for; `end` is called once what follows from it is stored, or has been refused. Never throws. */
export function answerDevice(
  partition: ShadowPartition,
  message: DeviceMessage,
  topic: ShadowTopic,
  end: RequestEnd,
): void {
  const { tenant, device, payload } = message;
  let clientToken: string | undefined;
  const refuse = (error: AppError): void => {
    const { voice, clock } = partition.options;
    const document = refusal(error, clientToken, clock.wallUs());
    const path = shadowTopic(topic, "rejected");
    // Nobody speaks to another device through its topics.
    if (topic.device === device) voice.tell(partition.number, tenant, device, path, document);
    else voice.tellAlone(partition.number, tenant, device, path, document);
  };
  try {
    if (topic.device !== device)
      throw new AppError("auth.not_authorized", `${device} may not speak for the shadow of another device`);
    const asked = parseRequest(payload);
    clientToken = clientTokenOf(asked);
    const eventId = message.isEvent ? Buffer.from(message.id) : undefined;
    const key = { tenant, device, name: topic.name };
    const request: Request = { partition, topic, key, clientToken, eventId, end };
    const refused = (error: AppError): void => {
      // The event comes again, to whoever owns the partition then.
      if (error.code === "request.no_responder") {
        end(error);
        return;
      }
      refuse(error);
      end(undefined);
    };
    if (topic.verb === "get")
      partition.submit(key, { run: (shadow) => runGet(request, shadow), refused }, false);
    else if (topic.verb === "delete") {
      const version = versionOf(asked);
      partition.submit(key, { run: (shadow) => runDelete(request, shadow, version), refused }, false);
    } else {
      const update = parseUpdate(asked);
      partition.submit(key, { run: (shadow) => runUpdate(request, shadow, update), refused }, true);
    }
  } catch (thrown) {
    refuse(AppError.from(thrown));
    end(undefined);
  }
}

function runGet({ partition, key, topic, clientToken, end }: Request, shadow: StoredShadow): () => void {
  expectThere(shadow, key);
  return () => {
    const { clock } = partition.options;
    const whole = wholeDocument(snapshotOf(shadow.document), partition.deltaOf(key, shadow), clock.wallUs());
    tell(partition, key, shadowTopic(topic, "accepted"), whole, clientToken);
    end(undefined);
  };
}

function runUpdate(
  { partition, key, topic, clientToken, eventId, end }: Request,
  shadow: StoredShadow,
  { change, state }: ShadowRequest,
): () => void {
  if (isDone(shadow, eventId)) return () => end(undefined);
  const { clock } = partition.options;
  const { document } = shadow;
  const nowUs = clock.wallUs();
  const previous = snapshotOf(document);
  document.update(change, nowUs);
  if (change.desired !== undefined) shadow.condition = undefined;
  done(shadow, eventId);
  const current = snapshotOf(document);
  return () => {
    tell(partition, key, shadowTopic(topic, "accepted"), acceptedUpdate(state, current, nowUs), clientToken);
    const changed = changeDocument(previous, current, nowUs);
    tell(partition, key, shadowTopic(topic, "documents"), changed, clientToken);
    partition.tellDelta(key, shadow, clientToken);
    end(undefined);
  };
}

function runDelete(
  { partition, key, topic, clientToken, eventId, end }: Request,
  shadow: StoredShadow,
  version: number | undefined,
): () => void {
  if (isDone(shadow, eventId)) return () => end(undefined);
  expectThere(shadow, key);
  const nowUs = partition.options.clock.wallUs();
  shadow.document.delete(nowUs, version);
  done(shadow, eventId);
  const deleted = { version: shadow.document.version, timestamp: seconds(nowUs) };
  return () => {
    tell(partition, key, shadowTopic(topic, "accepted"), deleted, clientToken);
    end(undefined);
  };
}

/** @throws AppError `shadow.unknown` */
export function expectThere({ document }: StoredShadow, { device, name }: ShadowKey): void {
  if (!document.isGone) return;
  const which = name === "" ? "shadow" : `shadow with the name ${name}`;
  throw new AppError("shadow.unknown", `there is no ${which} of ${device}`);
}

function tell(
  { options, number }: ShadowPartition,
  { tenant, device }: ShadowKey,
  path: string,
  document: object,
  clientToken: string | undefined,
): void {
  const whole = clientToken === undefined ? document : { ...document, clientToken };
  options.voice.tell(number, tenant, device, path, whole);
}

function isDone({ recent }: StoredShadow, eventId: Buffer | undefined): boolean {
  return eventId !== undefined && recent.some((id) => id.equals(eventId));
}

function done(shadow: StoredShadow, eventId: Buffer | undefined): void {
  if (eventId !== undefined) shadow.recent = [...shadow.recent.slice(1 - MAX_RECENT), eventId];
}
