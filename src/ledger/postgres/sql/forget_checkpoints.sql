-- Only those above the offset $2 of partition $1 stay.
DELETE FROM flux_gate.checkpoints AS c
USING unnest($1::integer[], $2::bigint[]) AS u (partition, "offset")
WHERE c.partition = u.partition AND c."offset" <= u."offset"
