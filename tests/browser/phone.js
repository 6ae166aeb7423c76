// As on an iPhone: a page that sets a volume sets nothing.
Object.defineProperty(HTMLMediaElement.prototype, 'volume', { get: () => 1, set: () => undefined });
