"""HTTP: mints room JWTs, writes promises, dispatches hosts, serves the page. Not the worker."""
