/** Certificates for tests, made by openssl. */
import { execFile } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import type { TempDir } from "./temp-dir.js";

const exec = promisify(execFile);

/** A certificate and its key, in files and as they are in them: PEM. */
export interface TestCertificate {
  readonly certFile: string;
  readonly keyFile: string;
  readonly cert: string;
  readonly key: string;
}

/** A certificate for `name`, signed by `issuer` or by itself; `names` as openssl writes alternative names, `days` below 0 for one that has ended. */
export async function makeCertificate(
  dir: TempDir,
  name: string,
  options: { readonly issuer?: TestCertificate; readonly names?: string; readonly days?: number } = {},
): Promise<TestCertificate> {
  const { issuer, names = "DNS:localhost,IP:127.0.0.1", days = 2 } = options;
  const [keyFile, certFile, request, extensions] = ["key", "crt", "csr", "ext"].map((kind) =>
    dir.join(`${name}.${kind}`),
  ) as [string, string, string, string];
  const isAuthority = issuer === undefined ? "TRUE" : "FALSE";
  writeFileSync(extensions, `subjectAltName=${names}\nbasicConstraints=critical,CA:${isAuthority}\n`);
  const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
  await exec("openssl", [
    "req",
    "-new",
    ...curve,
    "-subj",
    `/O=test/CN=${name}`,
    "-keyout",
    keyFile,
    "-out",
    request,
  ]);
  const by =
    issuer === undefined
      ? ["-signkey", keyFile]
      : ["-CA", issuer.certFile, "-CAkey", issuer.keyFile, "-CAcreateserial"];
  const valid = ["-days", String(days), "-extfile", extensions];
  await exec("openssl", ["x509", "-req", "-in", request, "-out", certFile, ...by, ...valid]);
  return { certFile, keyFile, cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
}
