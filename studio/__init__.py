"""A page on which a swarm is changed by hand and answers at once."""
