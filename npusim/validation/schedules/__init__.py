"""Reference schedules of Intel's compiler: the sets, predictions of them, scores, and the page about them."""
