"""What reports and reviews ask the job database."""
