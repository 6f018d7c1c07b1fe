-- Moves each partition on, if it is where the writer believes it to be.
UPDATE flux_gate.progress AS p
SET next_offset = u.next_offset, digest = u.digest, previous = u.previous,
    last_outcome = u.last_outcome, updated_at = now()
FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::bytea[], $5::bytea[], $6::text[])
    AS u (partition, from_offset, next_offset, digest, previous, last_outcome)
WHERE p.partition = u.partition AND p.next_offset = u.from_offset
