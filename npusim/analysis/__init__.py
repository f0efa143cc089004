"""What a Timeline means: statistics, bottlenecks, lower bounds. Numbers only; pictures are npusim.report's."""
