"""docker-compose.yml in docker: `make docker-test`; `make test` leaves this folder out."""
