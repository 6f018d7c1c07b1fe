SELECT coalesce(max(offset), 0) FROM log
