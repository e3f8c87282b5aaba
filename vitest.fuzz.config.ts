import { defineConfig } from "vitest/config";

// Broken input for as long as one likes: FUZZ_MINUTES=120 npm run fuzz.
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    include: ["services/*/conformance/fuzz/*.fuzz.ts", "packages/*/test/*.fuzz.ts"],
    pool: "forks",
    provide: { fuzzMinutes: Number(process.env.FUZZ_MINUTES ?? 60) },
  },
});
