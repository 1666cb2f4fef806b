"""Commands about one job, or all of them."""
