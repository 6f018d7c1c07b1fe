-- From $1 up to, without, $2, of product $3 or of all, of orders and of what may be one alone if $4; the newest $5.
SELECT at_ms, what, weight, product, order_id, buyer, series_stem, series_number, address, network, fingerprint
FROM flux_gate.evidence
WHERE at_ms >= $1 AND at_ms < $2 AND ($3::text IS NULL OR product = $3)
    AND (NOT $4::boolean OR what = 'accepted' OR (what = 'busy' AND order_id IS NOT NULL))
ORDER BY at_ms DESC, id DESC
LIMIT $5
