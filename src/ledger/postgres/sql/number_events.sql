-- Takes $1 numbers for the events of this transaction: those of a partition follow on `before` of those
-- of the partitions before it. The last statement of a transaction: others wait for the counter's row.
WITH counter AS (
    UPDATE flux_gate.counter SET last_seq = last_seq + $1 RETURNING last_seq - $1 AS last_seq
)
INSERT INTO flux_gate.batches (last_seq, first_seq, partition, from_offset, to_offset)
SELECT c.last_seq + u.before + u.events, c.last_seq + u.before + 1, u.partition, u.from_offset, u.to_offset
FROM counter AS c
CROSS JOIN unnest($2::integer[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[])
    AS u (partition, from_offset, to_offset, before, events)
