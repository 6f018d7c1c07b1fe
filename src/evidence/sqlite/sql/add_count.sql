INSERT INTO minutes (minute_ms, product, what, count) VALUES (?1, ?2, ?3, ?4)
ON CONFLICT (minute_ms, product, what) DO UPDATE SET count = count + excluded.count
