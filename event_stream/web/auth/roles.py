"""The roles that permissions ask for: names in a token's claim, and of the groups of those who log in."""

USER = "USER"
ADMIN = "ADMIN"
