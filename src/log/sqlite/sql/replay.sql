SELECT offset, product, log_time_ms, outcome, record FROM log ORDER BY offset
