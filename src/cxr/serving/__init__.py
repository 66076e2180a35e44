"""The service: a KServe predictor with a REST interface, security, audit and a page to look at."""
