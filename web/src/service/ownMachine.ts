/** Tells addresses of the machine itself from others. */

/** Whether a name means whichever machine reads it. */
export function isOwn(hostname: string): boolean {
  return (
    hostname === 'localhost' ||
    hostname.endsWith('.localhost') ||
    hostname === '[::1]' ||
    /^127\./.test(hostname)
  );
}
