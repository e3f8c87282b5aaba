import { defineConfig } from "vitest/config";

// Tests read the packages' sources (export condition "source"), so no build is needed before a unit test.
export default defineConfig({
  resolve: { conditions: ["source"] },
  ssr: { resolve: { conditions: ["source"] } },
  test: {
    include: [
      "{packages,services}/*/{src,test,conformance}/**/*.{test,itest}.ts",
      "tools/**/*.{test,itest}.ts",
    ],
    exclude: ["**/node_modules/**", "**/dist/**"],
    pool: "forks",
    maxWorkers: 2,
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
