/** `codec: profile` */
import { AppError } from "@myelin/kernel";
import type { CodecPlugin } from "../codec.js";

/** Reads payloads into samples, as a device profile says. */
export const profilePlugin: CodecPlugin = {
  kind: "profile",
  async load({ profile: name = "" }, context) {
    const profile = context.profile(name);
    if (profile === undefined)
      throw new AppError("route.invalid", `there is no device profile ${name} in force`);
    return {
      contentType: "",
      decode(payload, source) {
        const samples = profile.decode({ payload, ...source });
        if (samples !== undefined) return samples;
        throw new AppError("contract.bad_payload", `the profile ${name} has no payload for this path`);
      },
      encode() {
        throw new AppError("internal.unreachable", "samples are written as JSON or MessagePack");
      },
    };
  },
};
