/** Devices that a box is to know, over HTTP as an operator's script does it. */
import { AppError } from "@myelin/kernel";
import { waitFor } from "@myelin/testkit";

/** Registers them all at once. @throws AppError `internal.unexpected` when one was not taken */
export async function registerDevices(
  httpPort: number,
  devices: Iterable<{ readonly id: string; readonly profile: string }>,
): Promise<void> {
  const url = `http://127.0.0.1:${httpPort}/api/v1/devices`;
  await waitFor(
    () =>
      fetch(`${url}?limit=1`).then(
        ({ status }) => status === 200,
        () => false,
      ),
    { what: "the registry", deadlineMs: 60_000 },
  );
  const lines = Array.from(devices, (device) => JSON.stringify(device));
  const headers = { "content-type": "application/x-ndjson" };
  const answer = await fetch(url, { method: "POST", headers, body: `${lines.join("\n")}\n` });
  const text = await answer.text();
  if (answer.status !== 200)
    throw new AppError(
      "internal.unexpected",
      `the import was answered ${answer.status}: ${text.slice(0, 300)}`,
    );
}
