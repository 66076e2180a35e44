"""The audit trail: append-only, hash-chained, durable before an answer leaves, locked away in S3 for years."""
