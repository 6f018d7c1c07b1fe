-- Orders of many buyers at one IPv4 address or in one IPv6 /64.
--
--   psql -X -v since='2026-11-24 18:00Z' -v until='2026-11-24 18:10Z' -v product=iphone-15 \
--       -f shared_address.sql "$AUDITOR_URL"
--
-- address_buyers: from how many different buyers on it counts (default: 5).
-- Run as the auditor. The same orders as `flux-gate incident investigate --pattern shared_address`; what each column
-- is: docs/DATA_MODEL.md. span.sql, which is read first, tells of the other variables.

\ir span.sql
\if :{?address_buyers}
\else
\set address_buyers 5
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
    SELECT address, count(DISTINCT buyer) AS buyers
    FROM accepted
    WHERE address <> 0
    GROUP BY address
    HAVING count(DISTINCT buyer) >= :address_buyers
),
found AS (SELECT * FROM accepted JOIN shared USING (address))
SELECT
    order_id, to_timestamp(at_ms / 1000.0) AS at, product, encode(buyer, 'hex') AS buyer,
    'address-' || lpad(to_hex(address), 16, '0') AS mark, buyers
FROM found
ORDER BY at_ms, order_id;
