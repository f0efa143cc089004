"""Plans of what transfers do by themselves."""
