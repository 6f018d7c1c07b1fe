//! Pauses that are shorter than a millisecond. The runtime's own timer counts in whole ones, which would
//! make every arrival late by half of one on average, and would be blamed on the server.

use std::time::Duration;

/// A timer of the system, or the runtime's where there is none.
pub(super) struct Pauses(Option<timer::Timer>);

impl Pauses {
    /// Must be called inside a runtime.
    pub(super) fn new() -> Self {
        Self(timer::Timer::new().ok())
    }

    /// Waits so long, and a little longer.
    pub(super) async fn wait(&self, pause: Duration) {
        if pause.is_zero() {
            return tokio::task::yield_now().await;
        }
        let waited = match &self.0 {
            Some(timer) => timer.wait(pause).await,
            None => Err(std::io::ErrorKind::Unsupported.into()),
        };
        if waited.is_err() {
            tokio::time::sleep(pause).await;
        }
    }
}

#[cfg(target_os = "linux")]
mod timer {
    use std::io;
    use std::os::fd::OwnedFd;
    use std::time::Duration;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::unix::AsyncFd;

    pub(super) struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
            // SAFETY: an `OwnedFd` names the same open file from here to its drop, and it is dropped by
            // the `AsyncFd` alone, after that has deregistered it.
            let registered = unsafe { AsyncFd::register(timer) };
            Ok(Self(registered.map_err(io::Error::from)?))
        }

        pub(super) async fn wait(&self, pause: Duration) -> io::Result<()> {
            let once = Itimerspec {
                it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
                it_value: Timespec {
                    tv_sec: pause.as_secs() as i64,
                    tv_nsec: pause.subsec_nanos().into(),
                },
            };
            timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
            loop {
                let mut guard = self.0.readable().await?;
                let mut expirations = [0; 8];
                let read = |timer: &AsyncFd<OwnedFd>| {
                    rustix::io::read(timer.get_ref(), &mut expirations).map_err(Into::into)
                };
                if let Ok(read) = guard.try_io(read) {
                    return read.map(|_| ());
                }
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod timer {
    use std::io;
    use std::time::Duration;

    pub(super) struct Timer;

    impl Timer {
        pub(super) fn new() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }

        pub(super) async fn wait(&self, _: Duration) -> io::Result<()> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;

    #[tokio::test]
    async fn pauses_are_never_too_short() {
        let (clock, pauses) = (Clock::system(), Pauses::new());
        for us in [0, 50, 300, 1_500, 20_000] {
            let before_us = clock.monotonic_us();
            pauses.wait(Duration::from_micros(us)).await;
            assert!(clock.monotonic_us() - before_us >= us, "{us}");
        }
    }
}
