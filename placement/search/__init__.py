"""Large-neighbourhood search for placement and routes, with an order-free lower bound."""
