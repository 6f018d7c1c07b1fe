INSERT INTO subjects (offset, user_id) VALUES (?1, ?2)
