DELETE FROM flux_gate.subjects AS s
USING unnest($1::bytea[], $2::bigint[]) AS u (buyer, at_ms)
JOIN flux_gate.orders AS o ON o.buyer = u.buyer AND o.confirmed_at_ms <= u.at_ms
WHERE s.partition = o.partition AND s."offset" = o."offset"
