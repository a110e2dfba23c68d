"""What this project measures itself against: `make bench` runs it, docs/performance.md tells it."""
