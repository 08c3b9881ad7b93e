"""HTTP for Django services: user context, logs, problem details, conditional requests, health, pages."""
