"""What brings the product up: programs, the development launcher, the production files."""
