"""docker-compose.yml in an engine: `make docker-test`. `make test` leaves this folder out."""
