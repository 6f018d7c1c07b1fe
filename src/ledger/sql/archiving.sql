SELECT EXISTS (SELECT 1 FROM chores WHERE kind = 'archive' AND done = 0)
