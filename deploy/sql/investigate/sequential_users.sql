-- Orders of users whose ids differ in their last digits alone, one close to the next.
--
--   psql -X -v since='2026-11-24 18:00Z' -v until='2026-11-24 18:10Z' -v product=iphone-15 \
--       -f sequential_users.sql "$AUDITOR_URL"
--
-- series_ids: from how many ids in a row on it counts (default: 5). series_gap: how far one may be from the next
-- (default: 3).
-- Run as the auditor. The same orders as `flux-gate incident investigate --pattern sequential_users`; what each column
-- is: docs/DATA_MODEL.md. span.sql, which is read first, tells of the other variables.

\ir span.sql
\if :{?series_ids}
\else
\set series_ids 5
\endif
\if :{?series_gap}
\else
\set series_gap 3
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
numbers AS (
    -- Each user id once. Numbers have a secret one added, modulo 2^63: that a row goes round there is as good as
    -- impossible, and not looked for.
    SELECT DISTINCT series_stem, series_number FROM accepted WHERE series_stem IS NOT NULL
),
begins AS (
    SELECT
        *,
        series_number - lag(series_number) OVER (PARTITION BY series_stem ORDER BY series_number)
            > :series_gap AS is_begin
    FROM numbers
),
rows_of AS (
    SELECT
        *,
        count(*) FILTER (WHERE is_begin) OVER (PARTITION BY series_stem ORDER BY series_number) AS nth
    FROM begins
),
long_rows AS (
    SELECT *, count(*) OVER (PARTITION BY series_stem, nth) AS ids
    FROM rows_of
),
found AS (
    SELECT * FROM accepted JOIN long_rows USING (series_stem, series_number) WHERE ids >= :series_ids
)
SELECT
    order_id, to_timestamp(at_ms / 1000.0) AS at, product, encode(buyer, 'hex') AS buyer,
    'series-' || lpad(to_hex(series_stem), 16, '0') AS mark, ids
FROM found
ORDER BY at_ms, order_id;
