"""The most that may be asked for at once: more is a slip of the hand. (What bounds a model is in `npusim.source`.)"""

#: Graphs that one inference is called in: no model has more ops.
MOST_SEGMENTS = 100_000
#: Processes of one machine; points of one exploration; a seed of 63 bits.
MOST_WORKERS, MOST_POINTS, MOST_SEED = 1024, 1_000_000, (1 << 63) - 1
