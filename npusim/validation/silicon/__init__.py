"""Published measurements of real NPUs: the rows, predictions of them, scores, and the page about them."""
