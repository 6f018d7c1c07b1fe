INSERT INTO flux_gate.evidence (
    at_ms, what, weight, product, order_id, buyer, series_stem, series_number, address, network, fingerprint
)
SELECT *
FROM unnest(
    $1::bigint[], $2::text[], $3::integer[], $4::text[], $5::uuid[], $6::bytea[], $7::bigint[], $8::bigint[],
    $9::bigint[], $10::bigint[], $11::bigint[]
)
