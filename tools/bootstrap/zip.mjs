/** Reads one file out of a zip archive held in memory. Enough for a Python wheel; no ZIP64, no encryption. */
import { inflateRawSync } from "node:zlib";

const END_OF_DIRECTORY = 0x06054b50;
const DIRECTORY_ENTRY = 0x02014b50;
const LOCAL_HEADER = 0x04034b50;

/**
 * @param {Buffer} zip
 * @param {(name: string) => boolean} wanted
 * @returns {Buffer} the content of the first entry that is wanted
 * @throws {Error} when the archive is damaged or holds no such entry
 */
export function unzipOne(zip, wanted) {
  const end = zip.lastIndexOf(Buffer.from([0x50, 0x4b, 0x05, 0x06]));
  if (end < 0 || zip.readUInt32LE(end) !== END_OF_DIRECTORY) throw new Error("not a zip archive");
  let at = zip.readUInt32LE(end + 16);
  for (let entries = zip.readUInt16LE(end + 10); entries > 0; entries--) {
    if (zip.readUInt32LE(at) !== DIRECTORY_ENTRY) throw new Error("the zip archive's directory is damaged");
    const nameLength = zip.readUInt16LE(at + 28);
    const name = zip.toString("utf8", at + 46, at + 46 + nameLength);
    if (wanted(name)) return contentAt(zip, zip.readUInt32LE(at + 42), at);
    at += 46 + nameLength + zip.readUInt16LE(at + 30) + zip.readUInt16LE(at + 32);
  }
  throw new Error("the zip archive lacks the wanted file");
}

/** @param {Buffer} zip @param {number} local @param {number} entry */
function contentAt(zip, local, entry) {
  if (zip.readUInt32LE(local) !== LOCAL_HEADER) throw new Error("the zip archive's entry is damaged");
  const method = zip.readUInt16LE(entry + 10);
  const size = zip.readUInt32LE(entry + 20);
  const begin = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28);
  const packed = zip.subarray(begin, begin + size);
  if (method === 0) return packed;
  if (method === 8) return inflateRawSync(packed);
  throw new Error(`the zip archive uses the unknown method ${method}`);
}
