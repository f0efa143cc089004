"""The command line: one thin module a command; everything heavy is imported where it is used."""
