/** What every codec must do: turn payloads into values and back, for the transformations of routes. */
import type { Profile } from "@myelin/profile";

/** What a codec may ask of the message that a payload came in. */
export interface PayloadSource {
  readonly path: string;
  readonly ingestTimeUs: number;
  /** 0: the sender gave none. */
  readonly sourceTimeUs: number;
  readonly quality: "good" | "uncertain" | "bad";
  /** It is a block of samples that a hardware-agent has judged. */
  readonly isBlock?: boolean;
}

/** A codec ready for use. */
export interface Codec {
  /** Content type of what `encode` makes. */
  readonly contentType: string;
  /** @throws AppError `contract.bad_payload` */
  decode(payload: Buffer, source: PayloadSource): unknown;
  /** @throws AppError `contract.bad_payload` */
  encode(value: unknown): Uint8Array;
}

/** What stands in a route for codecs that need to be told more. */
export interface CodecOptions {
  readonly protobuf?: { readonly file: string; readonly message: string } | undefined;
  readonly profile?: string | undefined;
}

/** Where files and profiles named in routes are looked for. */
export interface CodecContext {
  readonly resourcesDir: string;
  readonly profile: (name: string) => Profile | undefined;
}

export interface CodecPlugin {
  /** Key in the registry and word in a route. */
  readonly kind: string;
  /** Loads what it needs. @throws AppError `route.invalid` when the options do not do */
  load(options: CodecOptions, context: CodecContext): Promise<Codec>;
}

/** The registry's shape: key = folder = kind; imported on first use. */
export type CodecRegistry = Readonly<Record<string, () => Promise<{ readonly plugin: CodecPlugin }>>>;
