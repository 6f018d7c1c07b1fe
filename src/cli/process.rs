//! What a command needs of its process: a runtime, and the signals that end it.

use std::io;

use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::load::Stop;

/// A runtime for the calls of one command.
pub(super) fn runtime() -> io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// SIGTERM and Ctrl-C, from when they are listened for: one that comes before it is waited for is not lost.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Listens. Called within a runtime.
    pub(super) fn listen() -> io::Result<Self> {
        let terminate = signal(SignalKind::terminate())?;
        Ok(Self { terminate, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one of them.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for Ctrl-C or SIGTERM.
pub(super) async fn interrupted() -> io::Result<()> {
    Signals::listen()?.wait().await;
    Ok(())
}

/// Does `work`; Ctrl-C or SIGTERM in the meantime sets the `Stop` that it is handed.
pub(super) fn until_interrupted<R>(work: impl FnOnce(&Stop) -> R) -> io::Result<R> {
    let stop = Stop::default();
    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    let runtime = runtime()?;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            runtime.block_on(async {
                tokio::select! {
                    outcome = interrupted() => {
                        if outcome.is_ok() {
                            stop.stop();
                        }
                    }
                    _ = is_done => {}
                }
            });
        });
        let result = work(&stop);
        // The watcher has gone already if it was interrupted.
        let _ = done.send(());
        Ok(result)
    })
}
