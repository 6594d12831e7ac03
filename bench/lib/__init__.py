"""What all benchmarks use: the machine, result files, processes, corpora, scores and tables."""
