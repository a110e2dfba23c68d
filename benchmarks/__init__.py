"""The benchmarks: `make bench` runs them, docs/performance.md discusses them."""
