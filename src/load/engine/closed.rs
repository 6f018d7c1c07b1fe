//! Closed loop: each connection sends the next request when the answer has come. It finds how much the
//! server can do; its latencies say little, for a slow server is simply asked less.

use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;

use super::crew::Line;
use super::{Next, Sender};

/// Runs all lines to the end of the run.
pub(super) async fn run(sender: &Rc<Sender>, lines: Vec<Line>) {
    let mut tasks = JoinSet::new();
    for line in lines {
        tasks.spawn_local(keep_sending(sender.clone(), line));
    }
    while tasks.join_next().await.is_some() {}
}

async fn keep_sending(sender: Rc<Sender>, mut line: Line) {
    let mut due_us = sender.clock.monotonic_us();
    while let Some(shot) = sender.next(line.kind, due_us) {
        let mut retries = 0;
        while let Next::Again(wait_ms) = sender.send(&mut line, &shot, due_us, retries).await {
            tokio::time::sleep(Duration::from_millis(wait_ms)).await;
            retries += 1;
            due_us = sender.clock.monotonic_us();
        }
        due_us = sender.clock.monotonic_us();
    }
}
