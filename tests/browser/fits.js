// Lists what does not fit the window now: each finding is a sentence that names an element.
() => {
  const SHORTEST_PX = 72; // of a box that scrolls: three lines
  const SLACK_PX = 2;
  const root = document.querySelector('dialog[open]') ?? document.body;
  const found = new Set();
  const name = (el) => {
    const said = (el.getAttribute('aria-label') ?? el.innerText ?? '').trim().slice(0, 30);
    return `<${el.tagName.toLowerCase()} class="${el.getAttribute('class') ?? ''}"> “${said}”`;
  };
  const shown = (el) =>
    !el.closest('.unseen') && el.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  const styled = (el, property, pattern) => pattern.test(getComputedStyle(el)[property]);
  const up = (el, holds) => {
    for (let at = el; at && at !== document.documentElement; at = at.parentElement)
      if (holds(at)) return at;
    return null;
  };
  const remembered = (holds) => {
    const known = new Map(); // styles stay while this runs, and are slow to ask for
    return (el) => known.get(el) ?? known.set(el, holds(el)).get(el);
  };
  const floating = remembered((el) => styled(el, 'position', /sticky|fixed/));
  const clipping = remembered((el) => styled(el, 'overflowX', /hidden|clip|auto|scroll/));
  const floats = (el) => up(el, floating);

  // an element's own words, and not those of an element in it
  const wordsOf = (el) =>
    [...el.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  const rangeOf = (node) => {
    const range = document.createRange();
    range.selectNode(node);
    return range;
  };

  const everything = [...root.querySelectorAll('*')].filter(shown);
  const controls = everything.filter((el) =>
    el.matches('button, a, summary, select, textarea, label:has(input), input:not(label input)'),
  );
  const texts = everything.filter(
    (el) => !el.matches('option, optgroup, script, style, textarea') && wordsOf(el).length > 0,
  );

  if (document.documentElement.scrollWidth > innerWidth)
    found.add(`the page scrolls sideways: ${document.documentElement.scrollWidth} px`);

  for (const el of everything) {
    const wide = el.scrollWidth > el.clientWidth + 1 && el.clientWidth > 0;
    const high = el.scrollHeight > el.clientHeight + SLACK_PX && el.clientHeight > 0;
    const clips =
      (wide && styled(el, 'overflowX', /hidden|clip/)) ||
      (high && styled(el, 'overflowY', /hidden|clip/));
    const told = styled(el, 'textOverflow', /ellipsis/) || styled(el, 'webkitLineClamp', /\d/);
    if (clips && !(told && el.closest('[title]')) && !el.matches('input, select'))
      found.add(`${name(el)} is cut without an ellipsis and a title`);
    if (styled(el, 'overflowY', /auto|scroll/)) {
      if (wide) found.add(`${name(el)} scrolls sideways`);
      if (el.clientHeight < SHORTEST_PX && high) found.add(`${name(el)} shows ${el.clientHeight} px`);
    }
  }

  for (const row of root.querySelectorAll('.controls')) {
    const middles = [...row.children].map((el) => el.getBoundingClientRect()).filter(({ width }) => width);
    const [first] = middles.map(({ top, bottom }) => (top + bottom) / 2);
    if (middles.some(({ top, bottom }) => Math.abs((top + bottom) / 2 - first) > SLACK_PX))
      found.add(`${name(row)} takes more than one line`);
  }
  for (const el of texts)
    if (el.closest('.controls') && !el.closest('dialog') && wordsOf(el).some((words) => rangeOf(words).getClientRects().length > 1))
      found.add(`${name(el)} takes more than one line`);

  // where text and controls are, without what a box around them hides
  const within = (rect, box) => ({
    left: Math.max(rect.left, box.left),
    right: Math.min(rect.right, box.right),
    top: Math.max(rect.top, box.top),
    bottom: Math.min(rect.bottom, box.bottom),
  });
  const rectsOf = (el) => {
    const boxes = [];
    up(el, (at) => void (clipping(at) && boxes.push(at)));
    const shapes = controls.includes(el) ? [el] : wordsOf(el).map(rangeOf);
    return shapes
      .flatMap((shape) => [...shape.getClientRects()]) // a link has many
      .map((rect) => boxes.reduce((left, box) => within(left, box.getBoundingClientRect()), rect))
      .filter(({ left, right, top, bottom }) => right - left > 1 && bottom - top > 1);
  };
  const kin = (one, other) => one.contains(other) || other.contains(one);
  const crosses = (a, b) =>
    Math.min(a.right, b.right) - Math.max(a.left, b.left) > SLACK_PX &&
    Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > SLACK_PX;
  const pieces = [...new Set([...texts, ...controls])].map((el) => ({
    el,
    rects: rectsOf(el),
    layer: floats(el),
  }));
  for (const [at, { el: one, rects, layer }] of pieces.entries()) {
    if (rects.some(({ left, right }) => left < -1 || right > innerWidth + 1))
      found.add(`${name(one)} leaves the window`);
    for (const { el: other, rects: others, layer: its } of pieces.slice(at + 1)) {
      if (kin(one, other) || layer !== its) continue;
      if (rects.some((a) => others.some((b) => crosses(a, b))))
        found.add(`${name(one)} overlaps ${name(other)}`);
    }
  }

  // each can be brought into view, with nothing above it
  const places = everything.map((el) => [el, el.scrollTop]);
  const pageTop = scrollY;
  for (const el of new Set([...texts, ...controls])) {
    el.scrollIntoView({ block: 'center', behavior: 'instant' });
    const [rect] = rectsOf(el);
    if (!rect) {
      found.add(`${name(el)} cannot be reached`);
      continue;
    }
    const x = (rect.left + rect.right) / 2;
    const hit = document.elementFromPoint(x, (rect.top + rect.bottom) / 2);
    const control = hit?.closest('button, a, summary, label');
    if (!hit || !(kin(hit, el) || (control && kin(control, el))))
      found.add(`${name(el)} is covered by ${hit ? name(hit) : 'the window’s edge'}`);
  }
  for (const [el, top] of places) if (el.scrollTop !== top) el.scrollTop = top;
  scrollTo({ top: pageTop, behavior: 'instant' });
  return [...found];
}
