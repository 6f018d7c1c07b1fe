-- A person who was erased gets no subject again for an order that is no younger.
INSERT INTO flux_gate.subjects (partition, "offset", user_id)
SELECT u.partition, u."offset", u.user_id
FROM unnest($1::integer[], $2::bigint[], $3::text[], $4::bytea[], $5::bigint[])
    AS u (partition, "offset", user_id, buyer, confirmed_at_ms)
WHERE NOT EXISTS (
    SELECT FROM flux_gate.erased AS e WHERE e.buyer = u.buyer AND e.at_ms >= u.confirmed_at_ms
)
