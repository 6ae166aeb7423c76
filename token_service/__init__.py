"""HTTP: mints room JWTs, writes room specs, dispatches hosts, serves the page. Not the worker."""
