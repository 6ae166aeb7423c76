/** A text as a QR code: black on white in every theme, for that is what cameras read. */

import { encode } from 'uqr';
import { t } from '../../strings/strings';

export function QrCode({ text }: { text: string }) {
  const { data, size } = encode(text, { ecc: 'L', border: 3 });
  const squares = data.flatMap((row, y) =>
    row.flatMap((black, x) => (black ? [`M${x} ${y}h1v1h-1z`] : [])),
  );
  return (
    <svg viewBox={`0 0 ${size} ${size}`} role="img" aria-label={t.invitation.code}>
      <rect width={size} height={size} fill="#fff" />
      <path d={squares.join('')} fill="#000" shapeRendering="crispEdges" />
    </svg>
  );
}
