SELECT confirmed, reversed FROM sales WHERE product = ?1
