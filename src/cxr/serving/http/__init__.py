"""REST: the routes of the service, what guards them, and the page."""
