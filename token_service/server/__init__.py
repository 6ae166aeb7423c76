"""The HTTP server itself: deadlines, descriptors, methods, forwarded headers, OpenAPI."""
