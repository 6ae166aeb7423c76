"""How a process of ours is set up and watched: settings, addresses, secrets, log, traces."""
