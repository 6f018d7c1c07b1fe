//! What orders cost: processor time of each process, calls of Redis, bytes in Kafka.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;

use super::stack::Stack;
use crate::bench::servers::{cpu_seconds, cpu_seconds_with_children};

/// Calls of less than this share of the orders are upkeep and not told.
const CALLS_LEAST: f64 = 0.005;

/// Reads the counters of the stores and of some processes.
pub struct Meter {
    redis: redis::Connection,
    /// The directories of a topic's partitions begin like this.
    partitions: PathBuf,
    topic: String,
    processes: Vec<(&'static str, u32)>,
    postgres: u32,
}

/// What they stand at.
#[derive(Debug, Clone)]
pub struct Reading {
    cpu_s: Vec<(&'static str, f64)>,
    redis_calls: BTreeMap<String, u64>,
    kafka_bytes: u64,
}

/// What an order took.
#[derive(Debug, Clone, Serialize)]
pub struct PerOrder {
    /// Orders.
    pub orders: u64,
    /// Processor time of each process, in microseconds.
    pub cpu_us: Vec<(&'static str, f64)>,
    /// Commands of Redis, those inside functions and scripts included.
    pub redis_calls: BTreeMap<String, f64>,
    /// Bytes in the log of the topic.
    pub kafka_bytes: f64,
}

impl Meter {
    /// Of the stores, a topic, and these processes beside those of the stores.
    ///
    /// # Errors
    /// A store does not run.
    pub fn new(stack: &Stack, topic: &str, own: &[(&'static str, u32)]) -> anyhow::Result<Self> {
        let mut processes = own.to_vec();
        processes.push(("Redis", stack.pid("STACK_REDIS_PID")?));
        processes.push(("Kafka", stack.pid("STACK_KAFKA_PIDS")?));
        Ok(Self {
            redis: stack.redis()?.get_connection()?,
            partitions: stack.kafka_dir()?,
            topic: topic.to_owned(),
            processes,
            postgres: stack.pid("STACK_POSTGRES_PID")?,
        })
    }

    /// Reads all.
    ///
    /// # Errors
    /// A process or a store is gone.
    pub fn read(&mut self) -> anyhow::Result<Reading> {
        let mut cpu_s = Vec::new();
        for (name, pid) in &self.processes {
            cpu_s.push((*name, cpu_seconds(*pid).with_context(|| format!("{name} is gone"))?));
        }
        cpu_s.push(("PostgreSQL", postgres_cpu_s(self.postgres)?));
        let stats: String = redis::cmd("INFO").arg("commandstats").query(&mut self.redis)?;
        let redis_calls = stats.lines().filter_map(calls).collect();
        Ok(Reading { cpu_s, redis_calls, kafka_bytes: self.kafka_bytes()? })
    }

    /// Bytes in the segments of the topic, without their indices.
    fn kafka_bytes(&self) -> anyhow::Result<u64> {
        let mut bytes = 0;
        for partition in std::fs::read_dir(&self.partitions)? {
            let partition = partition?;
            let name = partition.file_name();
            let of_topic = name.to_str().and_then(|name| name.rsplit_once('-'));
            if of_topic.is_none_or(|(topic, _)| topic != self.topic) {
                continue;
            }
            for file in std::fs::read_dir(partition.path())? {
                let file = file?;
                if file.path().extension().is_some_and(|extension| extension == "log") {
                    bytes += file.metadata()?.len();
                }
            }
        }
        Ok(bytes)
    }
}

impl Reading {
    /// What so many orders took of each since an earlier reading.
    pub fn since(&self, earlier: &Self, orders: u64) -> PerOrder {
        let share = |now: f64, then: f64| (now - then) / orders as f64;
        let cpu_us = self.cpu_s.iter().zip(&earlier.cpu_s);
        let calls = self.redis_calls.iter().map(|(name, now)| {
            let then = earlier.redis_calls.get(name).copied().unwrap_or(0);
            (name.clone(), share(*now as f64, then as f64))
        });
        PerOrder {
            orders,
            cpu_us: cpu_us
                .map(|((name, now), (_, then))| (*name, share(*now, *then) * 1e6))
                .collect(),
            redis_calls: calls.filter(|(_, calls)| *calls >= CALLS_LEAST).collect(),
            kafka_bytes: share(self.kafka_bytes as f64, earlier.kafka_bytes as f64),
        }
    }
}

impl PerOrder {
    /// Processor time of all processes, in microseconds.
    pub fn cpu_us_sum(&self) -> f64 {
        self.cpu_us.iter().map(|(_, us)| us).sum()
    }

    /// Processor time as it is told.
    pub fn cpu_text(&self) -> String {
        let each = self.cpu_us.iter().map(|(name, us)| format!("{name} {us:.1}"));
        format!("{:.1} µs: {}", self.cpu_us_sum(), each.collect::<Vec<_>>().join(", "))
    }

    /// Calls of one command.
    pub fn calls_of(&self, command: &str) -> f64 {
        self.redis_calls.get(command).copied().unwrap_or(0.0)
    }

    /// Calls of Redis as they are told.
    pub fn calls_text(&self) -> String {
        let each = self.redis_calls.iter().map(|(name, calls)| format!("{name} {calls:.2}"));
        each.collect::<Vec<_>>().join(", ")
    }
}

/// A line such as `cmdstat_get:calls=21,usec=175,…`.
fn calls(line: &str) -> Option<(String, u64)> {
    let (name, rest) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
    Some((name.to_owned(), rest.split(',').next()?.parse().ok()?))
}

/// Of the server and all its processes, those that have ended included.
fn postgres_cpu_s(server: u32) -> anyhow::Result<f64> {
    let mut sum = cpu_seconds_with_children(server).context("PostgreSQL is gone")?;
    let path = format!("/proc/{server}/task/{server}/children");
    let children = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    for child in children.split_whitespace() {
        // One that has ended meanwhile is in the server's own figure by now, or a moment later.
        sum += cpu_seconds(child.parse()?).unwrap_or(0.0);
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::calls;

    #[test]
    fn the_calls_of_a_command_are_read_from_its_line() {
        let line = "cmdstat_function|load:calls=3,usec=1034,usec_per_call=344.67,failed_calls=0";
        assert_eq!(calls(line), Some(("function|load".to_owned(), 3)));
        assert_eq!(calls("# Commandstats"), None);
    }
}
