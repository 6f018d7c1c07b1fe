//! Log output: text on a terminal, JSON elsewhere, to standard error; and panics as one log line.
//!
//! `RUST_LOG` chooses what is logged, as everywhere; `info` unless set. What libraries would log of the data
//! that they carry is not logged, whatever it says. A line that is written for a request carries its id.

use std::io::{self, IsTerminal};
use std::panic::PanicHookInfo;

use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{self as lines, JsonFields};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

mod format;
pub mod request;

use format::WithIds;

/// Libraries that log what they carry, such as the parameters of a statement, below the level `info`.
const CARRIERS: [&str; 1] = ["tokio_postgres"];

/// The shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Format {
    /// Text if standard error is a terminal, else JSON.
    pub fn of_terminal() -> Self {
        if io::stderr().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// Why the log cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` does not parse.
    #[error("RUST_LOG does not parse: {0}; write such as info or flux_gate=debug,warn")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// It was set up before.
    #[error("the log is set up already")]
    Twice(#[from] tracing_subscriber::util::TryInitError),
}

/// Sets up the log of the process and the panic hook. `filter` is the value of `RUST_LOG`.
///
/// # Errors
/// If the filter does not parse, or the log was set up before.
pub fn start(format: Format, filter: Option<&str>) -> Result<(), TelemetryError> {
    subscriber(format, filter, io::stderr().is_terminal(), io::stderr)?.try_init()?;
    std::panic::set_hook(Box::new(log_panic));
    Ok(())
}

fn subscriber<W>(
    format: Format,
    filter: Option<&str>,
    colours: bool,
    writer: W,
) -> Result<tracing::Dispatch, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let filter = EnvFilter::builder()
        .with_default_directive(LevelFilter::INFO.into())
        .parse(filter.unwrap_or_default())?;
    let colours = colours && format == Format::Text;
    let registry = tracing_subscriber::registry().with(filter).with(filter_fn(may_be_told));
    let layer = tracing_subscriber::fmt::layer()
        // They would go to standard error by `eprintln!`, which panics where the log's reader has gone.
        .log_internal_errors(false)
        .with_ansi(colours)
        .with_writer(writer);
    Ok(match format {
        Format::Text => {
            let inner = lines::format().with_target(false).with_ansi(colours);
            registry.with(layer.event_format(WithIds { inner, format })).into()
        }
        Format::Json => {
            let inner = lines::format().json().flatten_event(true).with_current_span(false);
            let layer = layer.fmt_fields(JsonFields::new());
            registry.with(layer.event_format(WithIds { inner, format })).into()
        }
    })
}

/// Rule 7, whatever the filter asks for.
fn may_be_told(line: &Metadata<'_>) -> bool {
    let library = line.target().split("::").next().unwrap_or_default();
    *line.level() <= LevelFilter::INFO || !CARRIERS.contains(&library)
}

/// Replaces the hook of the standard library, so that a panic is told once, in the form of the log.
fn log_panic(panic: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let message = panic.payload_as_str().unwrap_or("no message");
    tracing::error!(thread = thread.name().unwrap_or("unnamed"), place, message, "panic");
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    /// What was logged.
    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Lines {
        fn text(&self) -> String {
            String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
        }
    }

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: Format, filter: Option<&str>, log: impl FnOnce()) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        let dispatch = subscriber(format, filter, false, move || writer.clone()).unwrap();
        tracing::dispatcher::with_default(&dispatch, log);
        lines.text()
    }

    #[test]
    fn json_is_one_object_a_line_and_text_is_not() {
        let log = || tracing::info!(product = "p", "opened");
        let json = logged(Format::Json, None, log);
        let value: serde_json::Value = serde_json::from_str(json.trim_end()).unwrap();
        assert_eq!((&value["message"], &value["product"]), (&"opened".into(), &"p".into()));
        let text = logged(Format::Text, None, log);
        assert!(text.contains("opened") && text.contains("product") && !text.contains('{'));
    }

    #[test]
    fn the_level_is_info_unless_the_filter_says_otherwise() {
        let log = || {
            tracing::info!("the info");
            tracing::debug!("the debug");
        };
        let lines = logged(Format::Text, None, log);
        assert!(lines.contains("the info") && !lines.contains("the debug"));
        let lines = logged(Format::Text, Some("debug"), log);
        assert!(lines.contains("the info") && lines.contains("the debug"));
        assert!(subscriber(Format::Text, Some("a=b=c"), false, io::stderr).is_err());
    }

    #[test]
    fn a_line_of_a_request_carries_its_ids() {
        let ids = |trace: Option<u128>| {
            let trace = trace.and_then(std::num::NonZeroU128::new);
            Some(request::Ids { request: request::RequestId::of(7), trace })
        };
        let log = |trace| {
            move || {
                request::swap(&mut ids(trace));
                tracing::warn!(path = "/a\"b", "refused");
                request::swap(&mut None);
                tracing::warn!("nobody's");
            }
        };
        let of = |text: &str| -> Vec<serde_json::Value> {
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        };
        let lines = of(&logged(Format::Json, None, log(Some(0xabc))));
        let (request_id, trace_id) = (format!("{:032x}", 7), format!("{:032x}", 0xabc));
        assert_eq!(
            (&lines[0]["request_id"], &lines[0]["trace_id"]),
            (&request_id.clone().into(), &trace_id.clone().into())
        );
        assert_eq!(lines[0]["path"], "/a\"b");
        assert!(lines[1]["request_id"].is_null() && lines[1]["message"] == "nobody's");
        assert!(of(&logged(Format::Json, None, log(None)))[0]["trace_id"].is_null());
        let text = logged(Format::Text, None, log(Some(0xabc)));
        let first = text.lines().next().unwrap();
        assert!(
            first.ends_with(&format!("request_id={request_id} trace_id={trace_id}")),
            "{first}"
        );
    }

    /// Rule 7.
    #[test]
    fn what_a_library_carries_is_not_logged_whatever_is_asked_for() {
        for filter in ["trace", "tokio_postgres=trace", "info,tokio_postgres::query=trace"] {
            let lines = logged(Format::Json, Some(filter), || {
                tracing::debug!(target: "tokio_postgres::query", "parameters: alice");
                tracing::info!(target: "tokio_postgres::connection", "a notice");
            });
            assert!(!lines.contains("alice"), "{filter}: {lines}");
        }
    }

    #[test]
    fn a_log_that_nobody_takes_is_no_panic() {
        struct Closed;
        impl io::Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let dispatch = subscriber(Format::Json, None, false, || Closed).unwrap();
        tracing::dispatcher::with_default(&dispatch, || tracing::info!("lost"));
    }

    #[test]
    fn a_panic_is_one_line() {
        let lines = logged(Format::Json, None, || {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(log_panic));
            let result = std::panic::catch_unwind(|| panic!("planted"));
            std::panic::set_hook(before);
            assert!(result.is_err());
        });
        assert_eq!(lines.lines().count(), 1, "{lines}");
        assert!(lines.contains("planted") && lines.contains("telemetry.rs"), "{lines}");
    }
}
