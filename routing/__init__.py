"""Which chain of servers a request takes, offline and online."""
