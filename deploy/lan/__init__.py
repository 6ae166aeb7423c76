"""`make run HOST=…`: TLS for a local network, with a certificate authority of this machine."""
