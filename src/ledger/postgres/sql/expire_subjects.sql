-- Deletes at most $2 user ids of sales that were archived before $1 (log time, Unix milliseconds).
WITH old AS (
    SELECT s.partition, s."offset"
    FROM flux_gate.products AS p
    JOIN flux_gate.orders AS o ON o.product = p.product AND o.partition = p.partition
    JOIN flux_gate.subjects AS s ON s.partition = o.partition AND s."offset" = o."offset"
    WHERE p.archived_at_ms < $1
    LIMIT $2
)
DELETE FROM flux_gate.subjects AS s
USING old
WHERE s.partition = old.partition AND s."offset" = old."offset"
