INSERT INTO flux_gate.products AS p (
    product, partition, opened_offset, terms, sold, paused, archived, generation, log_time_ms,
    applied_offset, archived_at_ms
)
SELECT u.product, u.partition, u.opened_offset, u.terms::jsonb, u.sold, u.paused, u.archived,
    u.generation, u.log_time_ms, u.applied_offset, CASE WHEN u.archived THEN u.log_time_ms END
FROM unnest(
    $1::text[], $2::integer[], $3::bigint[], $4::text[], $5::bigint[], $6::boolean[], $7::boolean[],
    $8::bigint[], $9::bigint[], $10::bigint[]
) AS u (
    product, partition, opened_offset, terms, sold, paused, archived, generation, log_time_ms,
    applied_offset
)
ON CONFLICT (product) DO UPDATE
SET terms = excluded.terms, sold = excluded.sold, paused = excluded.paused,
    archived = excluded.archived, generation = excluded.generation,
    log_time_ms = excluded.log_time_ms, applied_offset = excluded.applied_offset,
    -- Later records about it, such as an erasure, do not lengthen the time of its user ids.
    archived_at_ms = CASE WHEN excluded.archived THEN coalesce(p.archived_at_ms, excluded.log_time_ms) END
WHERE p.partition = excluded.partition
