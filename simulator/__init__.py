"""One discrete-event evaluator with equal constants for every method."""
