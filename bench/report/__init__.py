"""Tables and pictures of docs/benchmarks.md and the README, made of bench/results/*.json."""
