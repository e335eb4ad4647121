"""Ten banks, one credit model: a Flower app with secure aggregation."""
