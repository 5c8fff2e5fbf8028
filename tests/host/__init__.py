"""volt on a booted systemd host, with real machines: `make test-host`."""
