-- The latest deletion of each thing.
SELECT (extract(epoch FROM max(at)) * 1000)::bigint, what, detail
FROM flux_gate.deletions
GROUP BY what, detail
ORDER BY 1
