INSERT INTO chores (offset, kind) VALUES (?1, ?2)
