INSERT OR IGNORE INTO archived_orders (order_id, offset) VALUES (?1, ?2)
