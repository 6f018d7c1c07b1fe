DELETE FROM flux_gate.evidence AS e
USING unnest($1::bytea[], $2::bigint[]) AS u (buyer, at_ms)
WHERE e.buyer = u.buyer
