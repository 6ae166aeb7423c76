/** A store's changes at the pace of the screen: however many come, one is told in each frame. */

type Subscribe = (listener: () => void) => () => void;

/** A page that is not looked at has no frames: it shows what changed when somebody looks again. */
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
