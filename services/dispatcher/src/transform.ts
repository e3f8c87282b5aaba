/** Compiles the transformation of a route: codecs loaded, one function per envelope. */
import { envelope, isSampleBlock } from "@myelin/contract";
import { AppError } from "@myelin/kernel";
import type { Codec, CodecContext, CodecOptions, CodecPlugin, PayloadSource } from "./codecs/codec.js";
import { renameFields, selectFields } from "./codecs/fields.js";
import { codecs } from "./codecs/registry.js";
import type { Transform, TransformResult } from "./core/plan.js";
import type { OnError, TransformStep } from "./core/route.js";

interface Step {
  readonly from: Codec;
  readonly to: Codec;
  readonly select: readonly string[] | undefined;
  readonly rename: Readonly<Record<string, string>> | undefined;
  readonly onError: OnError | undefined;
}

/**
 * Loads the codecs and what they need. The result rewrites payload and content type and never throws.
 * @throws AppError `route.invalid`
 */
export async function compileTransform(
  name: string,
  steps: readonly TransformStep[],
  context: CodecContext,
): Promise<Transform> {
  const compiled = await Promise.all(steps.map((step) => compileStep(step, context)));
  return { name, apply: (bytes, event) => applyAll(compiled, bytes, event) };
}

async function compileStep(step: TransformStep, context: CodecContext): Promise<Step> {
  const from = await loadCodec(step.codec, step, context);
  return {
    from,
    to: step.to === undefined || step.to === step.codec ? from : await loadCodec(step.to, step, context),
    select: step.select,
    rename: step.rename,
    onError: step.onError,
  };
}

async function loadCodec(kind: string, options: CodecOptions, context: CodecContext): Promise<Codec> {
  if (!Object.hasOwn(codecs, kind)) {
    throw new AppError(
      "route.invalid",
      `there is no codec ${kind}; known are ${Object.keys(codecs).join(", ")}`,
    );
  }
  const { plugin }: { plugin: CodecPlugin } = await codecs[kind as keyof typeof codecs]();
  return plugin.load(options, context);
}

function applyAll(steps: readonly Step[], bytes: Uint8Array, event: boolean): TransformResult | undefined {
  const message = envelope.Envelope.decode(bytes);
  let payload: Buffer = Buffer.from(message.payload);
  let { contentType } = message;
  const source = sourceOf(message);
  for (const step of steps) {
    try {
      let value = step.from.decode(payload, source);
      if (step.select !== undefined) value = selectFields(value, step.select);
      if (step.rename !== undefined) value = renameFields(value, step.rename);
      payload = Buffer.from(step.to.encode(value));
      contentType = step.to.contentType;
    } catch (thrown) {
      if (!AppError.is(thrown) || thrown.code !== "contract.bad_payload") throw thrown;
      const policy = step.onError ?? (event ? "unrouted" : "drop");
      return policy === "pass" ? undefined : policy;
    }
  }
  // The head is another one now, so the origin's channel number does not stand for it.
  return envelope.Envelope.encode({ ...message, channel: 0, payload, contentType }).finish();
}

function sourceOf(message: envelope.Envelope): PayloadSource {
  const { path, ingestTimeUs, sourceTimeUs, quality, protocol, contentType } = message;
  const { BAD, UNCERTAIN } = envelope.Quality;
  const word = quality === BAD ? "bad" : quality === UNCERTAIN ? "uncertain" : "good";
  const isBlock = isSampleBlock(protocol, contentType);
  return { path, ingestTimeUs, sourceTimeUs, quality: word, isBlock };
}
