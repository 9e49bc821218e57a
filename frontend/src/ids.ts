/** Ids as in `coder_nb/ids.py`: time-ordered, 26 characters, made by whoever creates the thing. */

const ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz";

export function newId(): string {
  let value = BigInt(Date.now()) << 80n;
  for (const [index, byte] of crypto.getRandomValues(new Uint8Array(10)).entries()) value |= BigInt(byte) << BigInt(8 * index);
  let id = "";
  for (let shift = 125n; shift >= 0n; shift -= 5n) id += ALPHABET[Number((value >> shift) & 31n)];
  return id;
}

/** Whether a string from outside has the shape of an id, so that it may be used in a route. */
export function isId(text: unknown): text is string {
  return typeof text === "string" && /^[a-z0-9]{26}$/.test(text);
}
