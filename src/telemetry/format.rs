//! Adds the ids of the request that a thread works on to each line that it logs.

use std::fmt;

use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::Format;
use super::request::{self, Ids};

/// A format of lines, with ids.
pub(super) struct WithIds<F> {
    pub(super) inner: F,
    pub(super) format: Format,
}

impl<S, N, F> FormatEvent<S, N> for WithIds<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let Some(ids) = request::current() else {
            return self.inner.format_event(context, writer, event);
        };
        let mut line = String::new();
        self.inner.format_event(context, Writer::new(&mut line), event)?;
        let end = line.trim_end_matches('\n').len();
        match self.format {
            Format::Json if line[..end].ends_with('}') => {
                writer.write_str(&line[..end - 1])?;
                json(&mut writer, &ids)?;
            }
            _ => {
                writer.write_str(&line[..end])?;
                text(&mut writer, &ids)?;
            }
        }
        writer.write_char('\n')
    }
}

/// The rest of an object. Ids hold no character that JSON would have to escape.
fn json(writer: &mut Writer<'_>, ids: &Ids) -> fmt::Result {
    write!(writer, r#","request_id":"{}""#, ids.request)?;
    if let Some(trace) = ids.trace {
        write!(writer, r#","trace_id":"{trace:032x}""#)?;
    }
    writer.write_char('}')
}

fn text(writer: &mut Writer<'_>, ids: &Ids) -> fmt::Result {
    write!(writer, " request_id={}", ids.request)?;
    if let Some(trace) = ids.trace {
        write!(writer, " trace_id={trace:032x}")?;
    }
    Ok(())
}
