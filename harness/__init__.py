"""Real servers, people and the whole product as processes, for tests and benchmarks."""
