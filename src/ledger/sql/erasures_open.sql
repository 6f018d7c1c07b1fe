SELECT count(*) FROM chores WHERE kind = 'erase' AND done = 0
