-- Only those above $2 of partition $1 stay.
DELETE FROM flux_gate.checkpoints AS c
USING unnest($1::integer[], $2::bigint[]) AS u (partition, next_offset)
WHERE c.partition = u.partition AND c.next_offset <= u.next_offset
