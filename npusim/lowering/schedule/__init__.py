"""Plans to Program: what stays in CMX, what is loaded ahead, and the tasks in order."""
