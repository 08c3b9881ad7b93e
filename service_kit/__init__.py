"""What a service needs at its edge: the user context, logs, problem answers, conditional requests, health, pages."""
