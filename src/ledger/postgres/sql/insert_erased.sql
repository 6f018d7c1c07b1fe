INSERT INTO flux_gate.erased AS e (buyer, at_ms)
SELECT buyer, max(at_ms) FROM unnest($1::bytea[], $2::bigint[]) AS u (buyer, at_ms) GROUP BY buyer
ON CONFLICT (buyer) DO UPDATE SET at_ms = greatest(e.at_ms, excluded.at_ms)
