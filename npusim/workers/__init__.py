"""Where work is done: in this process, in local processes or on a Dask cluster, by one code path."""

from npusim.workers.pool import DIED, Died, Machines, Pool, pool_of, run_all

__all__ = ["DIED", "Died", "Machines", "Pool", "pool_of", "run_all"]
