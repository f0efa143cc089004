"""Plans of nodes, by the engine that runs them: loads, computes and stores of every slice."""
