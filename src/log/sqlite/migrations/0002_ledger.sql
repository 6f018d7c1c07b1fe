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

-- What a shop fulfils or takes back, in log order: an accepted order at the offset of its proposal, a
-- reversed one at the offset of its reversal.
CREATE VIEW events AS
SELECT
    log.offset,
    CASE WHEN log.reverses IS NULL THEN 'accepted' ELSE 'reversed' END AS type,
    placed.record ->> '$.record.order_proposed.order_id' AS order_id,
    products.name AS product,
    subjects.user_id,
    log.log_time_ms AS at_ms
FROM log
JOIN log AS placed ON placed.offset = coalesce(log.reverses, log.offset)
JOIN products ON products.id = log.product
LEFT JOIN subjects ON subjects.offset = placed.offset
WHERE log.reverses IS NOT NULL OR (log.kind = 'order_proposed' AND log.outcome = 'confirmed');

-- Each product's orders, counted: never kept, always derived.
CREATE VIEW sales AS
SELECT
    product,
    count(*) FILTER (WHERE status = 'confirmed') AS confirmed,
    count(*) FILTER (WHERE status = 'reversed') AS reversed
FROM orders
GROUP BY product;
