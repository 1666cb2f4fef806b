"""Commands about one job or all jobs."""
