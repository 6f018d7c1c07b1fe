SELECT minute_ms, product, what, sum(count)::bigint
FROM flux_gate.evidence_minutes
WHERE minute_ms > $1::bigint - 60000 AND minute_ms < $2 AND ($3::text IS NULL OR product = $3)
GROUP BY minute_ms, product, what
ORDER BY minute_ms, product COLLATE "C", what COLLATE "C"
