-- The ledger: views on the log, so that there is one write and not two.

CREATE VIEW orders AS
SELECT
    log.offset,
    products.name AS product,
    log.record ->> '$.record.order_proposed.order_id' AS order_id,
    log.record ->> '$.record.order_proposed.buyer' AS buyer,
    CASE
        WHEN EXISTS (SELECT 1 FROM log AS later WHERE later.reverses = log.offset) THEN 'reversed'
        ELSE 'confirmed'
    END AS status,
    log.log_time_ms AS created_at_ms,
    subjects.user_id
FROM log
JOIN products ON products.id = log.product
LEFT JOIN subjects ON subjects.offset = log.offset
WHERE log.kind = 'order_proposed' AND log.outcome = 'confirmed';

-- What a shop fulfils or takes back, in log order.
CREATE VIEW events AS
SELECT offset, 'accepted' AS type, offset AS order_offset, product, log_time_ms AS at_ms
FROM log
WHERE kind = 'order_proposed' AND outcome = 'confirmed'
UNION ALL
SELECT offset, 'reversed', reverses, product, log_time_ms
FROM log
WHERE reverses IS NOT NULL;
