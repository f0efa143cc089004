"""Graph to nodes: which ops of the model run as one."""
