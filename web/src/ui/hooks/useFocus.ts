/** Keeps the keyboard's place where what had the focus goes: from the page's top the way is far. */

import { useEffect, useRef } from 'react';

const HEADING = 'main h1';
/** What changes where a control goes, is switched off or hidden. */
const CHANGES = { childList: true, subtree: true, attributeFilter: ['disabled', 'data-shown'] };

/**
 * Where nothing has the focus any more, give it to the heading of another screen, and on the same
 * screen to the nearest place that has a `tabIndex` and was around what had it.
 */
export function useFocus(screen: string): void {
  const last = useRef(screen);
  useEffect(follow, []);
  useEffect(() => {
    if (screen === last.current) return; // a page that was just opened begins at its top
    last.current = screen;
    const { activeElement: now } = document;
    if (now === null || now === document.body || !canHoldFocus(now)) focusOn(heading());
  }, [screen]);
}

function follow(): () => void {
  let held: Element | null = null; // what has the focus, or had it last
  let places: Element[] = []; // around it, the nearest first; around a sheet's opener after the sheet's own
  const take = ({ target }: FocusEvent) => {
    held = target as Element;
    const outside = held.closest('dialog') ? places.filter((one) => !one.closest('dialog')) : [];
    places = [...placesAround(held), ...outside];
  };
  const leave = () =>
    queueMicrotask(() => {
      const clickedAway = document.activeElement === document.body && held && canHoldFocus(held);
      if (clickedAway) held = null;
    });
  const look = () => {
    const { activeElement: now } = document;
    if (!held || canHoldFocus(held) || (now !== document.body && now !== held)) return;
    held = null;
    focusOn(places.find(canHoldFocus) ?? heading());
  };
  const changes = new MutationObserver(look);
  changes.observe(document.body, CHANGES);
  document.addEventListener('focusin', take);
  document.addEventListener('focusout', leave);
  return () => {
    changes.disconnect();
    document.removeEventListener('focusin', take);
    document.removeEventListener('focusout', leave);
  };
}

function placesAround(held: Element): Element[] {
  const place = held.parentElement?.closest('[tabindex]');
  return place ? [place, ...placesAround(place)] : [];
}

function canHoldFocus(one: Element): boolean {
  return (
    one.isConnected &&
    !one.matches(':disabled') &&
    one.checkVisibility?.({ visibilityProperty: true }) !== false
  );
}

function heading(): Element | null {
  return document.querySelector(HEADING);
}

function focusOn(one: Element | null): void {
  if (one instanceof HTMLElement) one.focus({ preventScroll: true });
}
