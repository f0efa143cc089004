"""Graph to Graph: what the compiler makes of a model before it chooses engines."""
