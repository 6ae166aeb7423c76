"""How a process of ours is set up: settings, files, addresses, secrets, proxies, log."""
