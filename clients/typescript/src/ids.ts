/** The header, and trailer, of the correlation ID. */
export const correlationHeader = "x-correlation-id";

/** The correlation ID in headers; "" without one. An edge sends it as header and as trailer, which connect joins in errors. */
export function correlationOf(headers: Headers): string {
  return headers.get(correlationHeader)?.split(",")[0]?.trim() ?? "";
}

const alphabet = "0123456789abcdefghjkmnpqrstvwxyz";

/**
 * A new correlation ID: 26 characters of base 32 over 128 random bits, as
 * Keelson's services make them. Unique, not secret.
 */
export function newCorrelationId(): string {
  const raw = crypto.getRandomValues(new Uint8Array(16));
  let id = "";
  let bits = 0;
  let held = 0;
  for (const byte of raw) {
    held = (held << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) {
      id += alphabet[(held >> (bits - 5)) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return id + alphabet[(held << (5 - bits)) & 31];
}

/**
 * A new UUID of version 4 (RFC 9562). Unlike crypto.randomUUID it works on pages
 * that were not loaded over TLS.
 */
export function newUuid(): string {
  const raw = crypto.getRandomValues(new Uint8Array(16));
  raw[6] = (raw[6]! & 0x0f) | 0x40;
  raw[8] = (raw[8]! & 0x3f) | 0x80;
  const hex = Array.from(raw, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}
