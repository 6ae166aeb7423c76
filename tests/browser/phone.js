// As on an iPhone, setting a volume has no effect.
Object.defineProperty(HTMLMediaElement.prototype, 'volume', { get: () => 1, set: () => undefined });
