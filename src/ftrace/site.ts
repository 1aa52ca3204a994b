// The five bytes of a site: what they may be, reading and verifying them, and the call that replaces them.
import { hex, hexBytes, rel32 } from '../address.ts';
import type { Engine } from '../engine/engine.ts';
import { EngineError, SiteError } from '../errors.ts';

/** Bytes of a site. */
export const SITE_SIZE = 5;

/** The idle site (F6). */
export const NOP5: Uint8Array = Uint8Array.of(0x0f, 0x1f, 0x44, 0x00, 0x00);

/**
 * `call target` as it stands at `site` (F10).
 *
 * @throws {SiteError} ERANGE `target` is more than 2 GiB away
 */
export function callBytes(site: bigint, target: bigint): Uint8Array {
  const displacement = rel32(site + BigInt(SITE_SIZE), target);
  if (displacement === undefined) {
    throw new SiteError('ERANGE', `call from ${hex(site)} does not reach ${hex(target)} by rel32`, {
      operation: 'patch site',
      address: site,
    });
  }
  const bytes = new Uint8Array(SITE_SIZE);
  bytes[0] = 0xe8;
  new DataView(bytes.buffer).setInt32(1, displacement, true);
  return bytes;
}

/**
 * Checks that the guest's bytes at a site are the expected ones, before anything is written (F11).
 *
 * @throws {SiteError} EFAULT the site cannot be read · EINVAL other bytes stand there
 */
export function verifySite(engine: Engine, site: bigint, expected: Uint8Array): void {
  let found: Uint8Array;
  try {
    found = engine.read(site, SITE_SIZE);
  } catch (cause) {
    if (!(cause instanceof EngineError) || cause.code !== 'EFAULT') throw cause;
    throw new SiteError('EFAULT', `the ${SITE_SIZE} bytes at ${hex(site)} are not mapped`, {
      operation: 'verify site',
      address: site,
      cause,
    });
  }
  if (found.some((byte, i) => byte !== expected[i])) {
    throw new SiteError('EINVAL', `${hex(site)} holds ${hexBytes(found)}, expected ${hexBytes(expected)}`, {
      operation: 'verify site',
      address: site,
    });
  }
}
