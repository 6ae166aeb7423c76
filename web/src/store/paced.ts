/** A store's changes at the pace of the screen: however many come, one is told in each frame. */

type Subscribe = (listener: () => void) => () => void;

/** A hidden tab has no frames: it shows the change when it is visible again. */
export function paced(subscribe: Subscribe): Subscribe {
  return (listener) => {
    let frame = 0;
    const leave = subscribe(() => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        listener();
      });
    });
    return () => {
      cancelAnimationFrame(frame);
      leave();
    };
  };
}
