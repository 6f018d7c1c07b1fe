-- Orders that are one of many within a second, from one network or with one fingerprint.
--
--   psql -X -v since='2026-11-24 18:00Z' -v until='2026-11-24 18:10Z' -v product=iphone-15 \
--       -f bursts.sql "$AUDITOR_URL"
--
-- burst_orders: from how many on it counts (default: 10).
-- Run as the auditor. The same orders as `flux-gate incident investigate --pattern bursts`; what each column
-- is: docs/DATA_MODEL.md. span.sql, which is read first, tells of the other variables.

\ir span.sql
\if :{?burst_orders}
\else
\set burst_orders 10
\endif

WITH accepted AS (
    -- Each order once: where it was seen first. One whose client was told that its outcome was not known yet is an
    -- order if the ledger has it.
    SELECT DISTINCT ON (order_id) *
    FROM flux_gate.evidence
    WHERE at_ms >= :since_ms AND at_ms < :until_ms AND (:'product' = '' OR product = :'product')
        AND order_id IS NOT NULL
        AND (what = 'accepted' OR what = 'busy' AND order_id IN (SELECT order_id FROM flux_gate.orders))
    ORDER BY order_id, at_ms
),
sources AS (
    SELECT *, 'network' AS kind, network AS source FROM accepted WHERE network <> 0
    UNION ALL
    SELECT *, 'fingerprint', fingerprint FROM accepted WHERE fingerprint IS NOT NULL
),
ending AS (
    -- How many orders of the source there are in the second that ends with this one.
    SELECT
        *,
        count(*) OVER (
            PARTITION BY kind, source ORDER BY at_ms RANGE BETWEEN 999 PRECEDING AND CURRENT ROW
        ) AS orders_before
    FROM sources
),
windows AS (
    -- The most of all such seconds that this one lies in.
    SELECT
        *,
        max(orders_before) OVER (
            PARTITION BY kind, source ORDER BY at_ms RANGE BETWEEN CURRENT ROW AND 999 FOLLOWING
        ) AS orders
    FROM ending
),
found AS (
    -- Of network and fingerprint the one with the larger burst.
    SELECT DISTINCT ON (order_id) *
    FROM windows
    WHERE orders >= :burst_orders
    ORDER BY order_id, orders DESC, kind DESC
)
SELECT
    order_id, to_timestamp(at_ms / 1000.0) AS at, product, encode(buyer, 'hex') AS buyer,
    kind || '-' || lpad(to_hex(source), 16, '0') AS mark, orders
FROM found
ORDER BY at_ms, order_id;
