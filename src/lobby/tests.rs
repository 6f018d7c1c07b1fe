//! The queue in memory and the queue in Redis keep the same rules.
