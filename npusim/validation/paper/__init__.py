"""The XAMBA paper's speed-ups, in its setting, and the page about them."""
