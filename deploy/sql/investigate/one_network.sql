-- Orders of many buyers in one IPv4 /24 or IPv6 /48.
--
--   psql -X -v since='2026-11-24 18:00Z' -v until='2026-11-24 18:10Z' -v product=iphone-15 \
--       -f one_network.sql "$AUDITOR_URL"
--
-- network_buyers: from how many different buyers on it counts (default: 10).
-- Run as the auditor. The same orders as `flux-gate incident investigate --pattern one_network`; what each column
-- is: docs/DATA_MODEL.md. span.sql, which is read first, tells of the other variables.

\ir span.sql
\if :{?network_buyers}
\else
\set network_buyers 10
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
shared AS (
    SELECT network, count(DISTINCT buyer) AS buyers
    FROM accepted
    WHERE network <> 0
    GROUP BY network
    HAVING count(DISTINCT buyer) >= :network_buyers
),
found AS (SELECT * FROM accepted JOIN shared USING (network))
SELECT
    order_id, to_timestamp(at_ms / 1000.0) AS at, product, encode(buyer, 'hex') AS buyer,
    'network-' || lpad(to_hex(network), 16, '0') AS mark, buyers
FROM found
ORDER BY at_ms, order_id;
