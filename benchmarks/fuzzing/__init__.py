"""What is thrown at npusim: documents mended badly, odd options, random graphs on random machines."""
